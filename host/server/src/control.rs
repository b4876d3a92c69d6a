//! The control socket: what a command asks of the process that holds the data folder. A Unix socket that its owner alone may open; one
//! line of JSON each way.

use crate::limits::{ASKED_BYTES_MAX, ASKED_TIME, ASKERS_MAX, ASKING_TIME};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// Read the config anew. With braces: what else stands in the question is refused.
    Reload {},
    /// Say how it is.
    Status {},
    /// Begin a run of a flow.
    Run {
        /// Its name.
        flow: String,
        /// JSON text.
        input: String,
    },
    /// Have a dead run of a flow tried once more, from the step that failed.
    ReplayRun {
        /// `run_…`
        run: String,
    },
    /// Give a dead run of a flow up.
    DiscardRun {
        /// `run_…`
        run: String,
    },
    /// Have a reader go on elsewhere.
    Position {
        /// The connection's name.
        connection: String,
        /// Its reader.
        reader: String,
        /// The stream.
        stream: String,
        /// JSON text; none = the start.
        checkpoint: Option<String>,
    },
    /// Let a dead delivery wait again.
    Replay {
        /// `dlv_…`
        delivery: String,
    },
    /// Give a dead delivery up.
    Discard {
        /// `dlv_…`
        delivery: String,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answered {
    /// It is done.
    Done,
    /// It is stored, and waits for its turn.
    Begun {
        /// `run_…`
        run: String,
    },
    /// How it is.
    Status {
        /// It accepts deliveries.
        ready: bool,
        /// Routes that are not as they should be, and why.
        not_ready: BTreeMap<String, String>,
    },
    /// It is not.
    Refused {
        /// What is wrong.
        message: String,
        /// What to type.
        help: Option<String>,
    },
}

/// Something that was asked, and where its answer goes.
pub type Question = (Asked, oneshot::Sender<Answered>);

/// The socket, bound.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Binds it. Whoever calls holds the data folder: a socket that lies there is a dead process's.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Hands on what is asked, until it is dropped.
    pub async fn serve(self, questions: mpsc::Sender<Question>) {
        let turns = Arc::new(Semaphore::new(ASKERS_MAX));
        loop {
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let questions = questions.clone();
                    tokio::spawn(async move {
                        let _turn = turn;
                        if let Ok(Err(error)) = timeout(ASKED_TIME, answer(stream, questions)).await {
                            tracing::debug!(%error, "a question was not answered");
                        }
                    });
                }
                Err(error) => tracing::warn!(%error, "a question could not be taken"),
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Where it can't be removed, the next one does it.
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(mut stream: UnixStream, questions: mpsc::Sender<Question>) -> io::Result<()> {
    // Who says nothing does not hold up those that do.
    let asked =
        timeout(ASKING_TIME, line(&mut stream)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
    let answered = match serde_json::from_str(&asked) {
        Ok(asked) => {
            let (sender, answered) = oneshot::channel();
            let gone = || Answered::Refused { message: "it is stopping".to_owned(), help: None };
            match questions.send((asked, sender)).await {
                Ok(()) => answered.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
        Err(_) => {
            let help = Some("use the binary that runs `serve`".to_owned());
            Answered::Refused { message: "it does not know what is asked".to_owned(), help }
        }
    };
    write(&mut stream, &answered).await
}

/// Asks the process whose socket this is.
pub async fn ask(path: &Path, asked: &Asked) -> io::Result<Answered> {
    let asking = async {
        let mut stream = UnixStream::connect(path).await?;
        write(&mut stream, asked).await?;
        let answered = line(&mut stream).await?;
        serde_json::from_str(&answered).map_err(io::Error::other)
    };
    timeout(ASKED_TIME, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn write(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let line = serde_json::to_string(value).map_err(io::Error::other)? + "\n";
    stream.write_all(line.as_bytes()).await
}

async fn line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(ASKED_BYTES_MAX)).read_line(&mut line).await?;
    if line.ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test]
    async fn what_is_asked_is_answered_and_only_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.sock");
        // What a killed process left is in nobody's way.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let control = Control::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (sender, mut questions) = mpsc::channel::<Question>(1);
        let served = tokio::spawn(control.serve(sender));
        let answers = tokio::spawn(async move {
            while let Some((asked, answer)) = questions.recv().await {
                let answered = match asked {
                    Asked::Reload {} => Answered::Done,
                    other => Answered::Refused { message: format!("{other:?}"), help: None },
                };
                answer.send(answered).unwrap();
            }
        });
        assert_eq!(ask(&path, &Asked::Reload {}).await.unwrap(), Answered::Done);
        let replay = Asked::Replay { delivery: "dlv_1".to_owned() };
        let Answered::Refused { message, .. } = ask(&path, &replay).await.unwrap() else { panic!() };
        assert!(message.contains("dlv_1"), "{message}");
        // What is no question ends its asker alone.
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"ask\":\"everything\"}\n").await.unwrap();
        assert!(line(&mut stream).await.unwrap().contains("does not know"));
        let mut more = UnixStream::connect(&path).await.unwrap();
        more.write_all(b"{\"ask\":\"reload\",\"x\":1}\n").await.unwrap();
        assert!(line(&mut more).await.unwrap().contains("does not know"));
        let mut long = UnixStream::connect(&path).await.unwrap();
        drop(long.write_all(&vec![b'a'; 1 << 20]).await);
        assert!(line(&mut long).await.is_err());
        assert_eq!(ask(&path, &Asked::Reload {}).await.unwrap(), Answered::Done);
        served.abort();
        assert!(served.await.unwrap_err().is_cancelled());
        assert!(!path.exists());
        answers.await.unwrap();
    }
}
