//! Asks the person at the terminal.
use crate::{
    exit::{Exit, Failure, Result},
    output,
};
use std::io::{self, IsTerminal};

/// Whether a person typed `yes`. Where nobody is there: `exit`, and what to type instead.
pub fn confirmed(question: &str, exit: Exit, instead: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(exit, "nobody is there to confirm").with_help(instead));
    }
    output::note(question);
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::fault("stdin can't be read").because(&error))?;
    Ok(answer.trim() == "yes")
}
