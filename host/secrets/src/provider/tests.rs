//! The built-in and the named providers against a real folder.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

fn put(path: &Path, bytes: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn fetch(providers: &Providers, reference: &str) -> Result<String, SecretError> {
    let secret = providers.fetch(&reference.parse().unwrap()).await?;
    Ok(String::from_utf8(secret.expose().to_vec()).unwrap())
}

async fn refusal(providers: &Providers, reference: &str) -> String {
    let error = fetch(providers, reference).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn files() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    put(&base.join("plain.key"), b"canary-plain\n", 0o600);
    put(&base.join("two.key"), b"canary\r\n\n", 0o400);
    put(&base.join("object.json"), br#"{"a":"canary-a","b":{"c/d":"canary-cd"},"n":1,"e":""}"#, 0o600);
    put(&base.join("group.key"), b"canary", 0o640);
    put(&base.join("world.key"), b"canary", 0o604);
    put(&base.join("empty.key"), b"\n", 0o600);
    put(&base.join("large.key"), &vec![b'x'; SECRET_BYTES_MAX + 1], 0o600);
    symlink("plain.key", base.join("good.link")).unwrap();
    symlink("world.key", base.join("bad.link")).unwrap();
    fs::create_dir(base.join("folder")).unwrap();
    let providers = Providers::new(base.to_owned(), BTreeMap::new());

    assert_eq!(fetch(&providers, "file:plain.key").await.unwrap(), "canary-plain");
    assert_eq!(fetch(&providers, "file:good.link").await.unwrap(), "canary-plain");
    assert_eq!(
        fetch(&providers, &format!("file:{}", base.join("plain.key").display())).await.unwrap(),
        "canary-plain"
    );
    assert_eq!(
        fetch(&providers, "file:two.key").await.unwrap(),
        "canary\r\n",
        "one line end alone is dropped"
    );
    assert_eq!(fetch(&providers, "file:object.json#a").await.unwrap(), "canary-a");
    assert_eq!(fetch(&providers, "file:object.json#/b/c~1d").await.unwrap(), "canary-cd");

    let error = fetch(&providers, "file:group.key").await.unwrap_err();
    assert_eq!(error.to_string(), "secret file of `file:group.key` is open to others (mode 0640)");
    assert_eq!(error.remedy().unwrap(), format!("chmod 600 {}", base.join("group.key").display()));
    assert_eq!(
        refusal(&providers, "file:bad.link").await,
        "secret file of `file:bad.link` is open to others (mode 0604)"
    );
    assert_eq!(refusal(&providers, "file:none.key").await, "secret `file:none.key` not found");
    assert_eq!(refusal(&providers, "file:folder").await, "secret `file:folder` is not a regular file");
    assert_eq!(refusal(&providers, "file:/dev/null").await, "secret `file:/dev/null` is not a regular file");
    assert_eq!(refusal(&providers, "file:empty.key").await, "secret `file:empty.key` is empty");
    assert_eq!(refusal(&providers, "file:object.json#e").await, "secret `file:object.json#e` is empty");
    assert_eq!(
        refusal(&providers, "file:large.key").await,
        "secret `file:large.key` is larger than 65536 bytes"
    );
    for key in ["none", "n", "b", "/b/none", "/a/b"] {
        let expected =
            format!("secret `file:object.json#{key}`: its file is no JSON object with a string at that key");
        assert_eq!(refusal(&providers, &format!("file:object.json#{key}")).await, expected);
    }
    assert!(refusal(&providers, "file:plain.key#a").await.contains("no JSON object"));
    assert_eq!(
        refusal(&providers, "file:plain.key@2").await,
        "secret `file:plain.key@2` names a version, and this provider has none"
    );
}

#[tokio::test]
async fn a_mounted_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mount");
    put(&mount.join("..2026_01/token"), b"canary-token", 0o440);
    put(&mount.join("..2026_01/world"), b"canary", 0o644);
    put(&dir.path().join("outside.key"), b"canary", 0o600);
    symlink("..2026_01", mount.join("..data")).unwrap();
    symlink("..data/token", mount.join("token")).unwrap();
    symlink("..data/world", mount.join("world")).unwrap();
    symlink("../outside.key", mount.join("escape")).unwrap();
    symlink(dir.path().join("outside.key"), mount.join("absolute")).unwrap();
    let providers = Providers::new(dir.path().to_owned(), BTreeMap::new());

    assert_eq!(fetch(&providers, "directory:mount#token").await.unwrap(), "canary-token");
    assert_eq!(
        refusal(&providers, "directory:mount#world").await,
        "secret file of `directory:mount#world` is open to others (mode 0644)"
    );
    for outside in ["escape", "absolute", "../outside.key", "/etc/hostname"] {
        let expected = format!("secret `directory:mount#{outside}` lies outside its provider's folder");
        assert_eq!(refusal(&providers, &format!("directory:mount#{outside}")).await, expected);
    }
    assert_eq!(refusal(&providers, "directory:mount#none").await, "secret `directory:mount#none` not found");
    assert_eq!(
        refusal(&providers, "directory:mount").await,
        "secret `directory:mount` names no key; expected `directory:FOLDER#FILE`"
    );
}

#[tokio::test]
async fn named_ones() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    put(&root.join("a/key.json"), br#"{"k":"canary-k"}"#, 0o600);
    put(&dir.path().join("outside.key"), b"canary", 0o600);
    let mut named: BTreeMap<String, Arc<dyn Provider>> = BTreeMap::new();
    named.insert("own".to_owned(), Arc::new(FileProvider::confined(root.clone())));
    named.insert("mount".to_owned(), Arc::new(DirectoryProvider::rooted(root)));
    named.insert("file".to_owned(), Arc::new(EnvProvider::default()));
    let providers = Providers::new(dir.path().to_owned(), named);

    assert_eq!(fetch(&providers, "own:a/key.json#k").await.unwrap(), "canary-k");
    assert_eq!(fetch(&providers, "mount:a/key.json#k").await.unwrap(), "canary-k");
    assert_eq!(
        fetch(&providers, "file:outside.key").await.unwrap(),
        "canary",
        "built-in ones can't be redefined"
    );
    assert_eq!(
        refusal(&providers, "own:../outside.key").await,
        "secret `own:../outside.key` lies outside its provider's folder"
    );
    assert_eq!(
        refusal(&providers, "own:/etc/hostname").await,
        "secret `own:/etc/hostname` lies outside its provider's folder"
    );
    assert_eq!(
        refusal(&providers, "mount:../outside.key").await,
        "secret `mount:../outside.key` lies outside its provider's folder"
    );

    assert!(providers.knows(&"env:X".parse().unwrap()));
    assert!(!providers.knows(&"admin:canary".parse().unwrap()));
    assert_eq!(refusal(&providers, "admin:canary").await, "there is no secret provider `admin`");
    assert_eq!(refusal(&providers, "a1canary:x").await, "there is no secret provider");
}

#[tokio::test]
async fn the_environment() {
    let providers = Providers::new(std::path::PathBuf::from("."), BTreeMap::new());
    // Cargo sets these for every test.
    assert_eq!(fetch(&providers, "env:CARGO_PKG_NAME").await.unwrap(), "portcullis-secrets");
    let prefixed = Reference { provider: "own".into(), path: "NAME".into(), key: None, version: None };
    let secret = EnvProvider::prefixed("CARGO_PKG_".to_owned()).fetch(&prefixed).await.unwrap();
    assert!(secret.same_bytes(b"portcullis-secrets"));
    assert_eq!(
        refusal(&providers, "env:PORTCULLIS_NOT_SET").await,
        "secret `env:PORTCULLIS_NOT_SET` not found"
    );
    assert!(refusal(&providers, "env:A=B").await.contains("names no environment variable"));
    assert!(refusal(&providers, "env:1A").await.contains("names no environment variable"));
}
