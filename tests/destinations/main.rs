//! Destinations as an operator has them: the built binary writes, somebody else reads, and `kill -9` comes between.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod files;
mod kills;

use portcullis_tests::{Project, Ran};
use std::fs;

/// A project whose connection `out` runs the destination of files that the binary carries, approved. `config` is TOML.
fn project(config: &str) -> Project {
    let project = unapproved(config);
    approve(&project).exits(0);
    project
}

fn unapproved(config: &str) -> Project {
    let project = Project::new();
    fs::create_dir(project.path("out")).unwrap();
    project.config(&format!(
        "[connections.out]\nconnector = \"portcullis/files@0.1.0\"\nallow = \"requested\"\nfolders = {{ out = \"./out\" }}\n\
         config = {config}\nlimits = {{ timeout = \"120s\", cpu = \"60s\" }}\n"
    ));
    project
}

fn approve(project: &Project) -> Ran {
    let (_, inspected) = project.run_json(&["inspect", "portcullis/files"]);
    project.run(&["approve", "out", "--yes", "--digest", inspected["digest"].as_str().unwrap()])
}

/// Names below the folder that readers see, with what is in them; the connector's own parts are left out.
fn readable(project: &Project) -> Vec<(String, String)> {
    let root = project.path("out");
    let mut found: Vec<_> = project
        .bytes_below("out")
        .into_iter()
        .map(|(path, bytes)| {
            (
                path.strip_prefix(&root).unwrap().display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            )
        })
        .filter(|(path, _)| !path.contains(".parts/"))
        .collect();
    found.sort();
    found
}
