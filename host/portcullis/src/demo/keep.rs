//! `demo --keep`: the double goes on answering while the person tries commands. The data folder's lock is free.
use super::stage::Stage;
use crate::output;
use serde_json::json;

/// Prints commands to try and waits for Ctrl-C.
pub async fn until_interrupted(stage: &Stage, as_json: bool) {
    let folder = stage.folder.display();
    let commands = [
        "portcullis connectors".to_owned(),
        "portcullis inspect portcullis/stripe".to_owned(),
        "portcullis read billing customers".to_owned(),
        r#"portcullis call billing create-customer '{"email": "ada@example.com"}'"#.to_owned(),
        r#"portcullis call billing create-refund '{"charge": "ch_1"}'"#.to_owned(),
        "portcullis runs".to_owned(),
        "portcullis logs --status denied".to_owned(),
        "portcullis revoke billing".to_owned(),
    ];
    if as_json {
        let folder = folder.to_string();
        output::json_line(
            &json!({ "folder": folder, "try": commands, "vendor": stage.double.address().to_string() }),
        );
    } else {
        output::line(&format!(
            "\nThe vendor double answers until Ctrl-C. In another terminal:\n\n  cd {folder}"
        ));
        commands.iter().for_each(|command| output::line(&format!("  {command}")));
    }
    if tokio::signal::ctrl_c().await.is_err() {
        output::note("Ctrl-C can't be waited for here");
    }
}
