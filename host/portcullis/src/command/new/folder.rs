//! The files of a new connector's folder, as texts: nothing here touches the disk. What two roles share (imports, the lock, the
//! head of the manifest) is put together; the rest is each role's own part.
use super::roles::{self, Part};
use portcullis_manifest::{ConnectorName, Role};
use std::collections::{BTreeMap, BTreeSet};

/// The SDK's source with its lock and the WIT, as (path, bytes): `sdk/rust` when this binary was built.
const SDK: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// What a new connector is to be.
pub struct New<'a> {
    /// Its name.
    pub name: &'a ConnectorName,
    /// Its roles, at least one.
    pub roles: &'a BTreeSet<Role>,
    /// An SDK that lies elsewhere, and its lock where it has one; none = the one that this binary carries.
    pub sdk: Option<(&'a str, Option<String>)>,
}

/// Files by their path below the folder.
pub type Files = BTreeMap<String, Vec<u8>>;

impl New<'_> {
    /// Every file.
    pub fn files(&self) -> Files {
        let mut files = Files::new();
        let mut put = |path: &str, text: String| drop(files.insert(path.to_owned(), text.into_bytes()));
        put("Cargo.toml", self.cargo());
        if let Some(lock) = self.lock() {
            put("Cargo.lock", lock);
        }
        put("rustfmt.toml", include_str!("../../../../../rustfmt.toml").to_owned());
        put("rust-toolchain.toml", include_str!("../../../../../rust-toolchain.toml").to_owned());
        put(".gitignore", "/target\n/registry\n/data\n".to_owned());
        put("README.md", self.readme());
        put("connector.toml", self.manifest());
        put("config.schema.json", include_str!("templates/config.schema.json").to_owned());
        for (name, schema) in self.parts().flat_map(|part| part.schemas) {
            put(&format!("schemas/{name}"), (*schema).to_owned());
        }
        for (name, played) in self.parts().flat_map(|part| part.played) {
            put(&format!("tests/{name}"), (*played).to_owned());
        }
        put("src/lib.rs", self.code());
        match self.parts().collect::<Vec<_>>().as_slice() {
            [one] => put("src/tests.rs", one.tests.to_owned()),
            several => {
                let mut modules: Vec<_> =
                    several.iter().map(|part| format!("mod {};\n", part.role)).collect();
                modules.sort();
                let modules = modules.concat();
                put("src/tests.rs", format!("//! Each role against a vendor in memory.\n\n{modules}"));
                for part in several {
                    put(&format!("src/tests/{}.rs", part.role), part.tests.to_owned());
                }
            }
        }
        if self.sdk.is_none() {
            files.extend(SDK.iter().map(|(path, bytes)| (format!("sdk/{path}"), bytes.to_vec())));
        }
        files
    }

    fn parts(&self) -> impl Iterator<Item = &'static Part> {
        roles::ALL.iter().filter(|part| self.roles.contains(&part.role))
    }

    /// The crate's name: no crate of the registry is called so, whatever the connector is called.
    fn package(&self) -> String {
        format!("connector-{}", self.name.name)
    }

    fn dependencies(&self) -> Vec<&'static str> {
        let serde = self.parts().any(|part| part.derives).then_some("serde");
        ["portcullis-sdk"].into_iter().chain(serde).collect()
    }

    fn cargo(&self) -> String {
        let sdk = self.sdk.as_ref().map_or("sdk", |(path, _)| *path);
        let serde = if self.dependencies().contains(&"serde") {
            "serde = { version = \"1.0\", features = [\"derive\"] }\n"
        } else {
            ""
        };
        format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
             [lib]\ncrate-type = [\"cdylib\"]\n\n\
             [dependencies]\nportcullis-sdk = {{ path = {sdk} }}\n{serde}\n\
             # A workspace of its own, in whatever folder it lies.\n[workspace]\n\n\
             [profile.release]\n# JSON is what a connector spends its time on.\nopt-level = 3\nlto = true\n\
             codegen-units = 1\npanic = \"abort\"\nstrip = true\n",
            package = self.package(),
            sdk = toml::Value::String(sdk.to_owned()),
        )
    }

    /// The SDK's lock with this package in its place: what `cargo` itself would write.
    fn lock(&self) -> Option<String> {
        let carried = || {
            let (_, bytes) = SDK.iter().find(|(path, _)| *path == "Cargo.lock")?;
            String::from_utf8(bytes.to_vec()).ok()
        };
        let lock = match &self.sdk {
            Some((_, lock)) => lock.clone(),
            None => carried(),
        };
        const PACKAGE: &str = "\n[[package]]\n";
        let lock = lock?;
        let (head, packages) = lock.split_once(PACKAGE)?;
        let needs: String =
            self.dependencies().iter().map(|dependency| format!(" \"{dependency}\",\n")).collect();
        let package = self.package();
        let own = format!("name = \"{package}\"\nversion = \"0.1.0\"\ndependencies = [\n{needs}]\n");
        let mut packages: Vec<&str> = packages.split(PACKAGE).chain([own.as_str()]).collect();
        packages.sort_by_key(|package| package.lines().next());
        Some(packages.iter().fold(head.to_owned(), |text, package| text + PACKAGE + package))
    }

    fn manifest(&self) -> String {
        let roles: Vec<_> = self.parts().map(|part| format!("\"{}\"", part.role)).collect();
        let mut text = format!(
            "# What this connector is and asks for. Nothing of it is granted before an operator approves it.\n\
             [connector]\nname = \"{}\"\nversion = \"0.1.0\"\nposition-version = 1\nconfig-version = 1\n\
             roles = [{}]\nsummary = \"The items of Example\"\nconfig-schema = \"config.schema.json\"\n",
            self.name,
            roles.join(", ")
        );
        if self.asks() {
            text.push_str(
                "\n[credentials.api-key]\nschemes = [\"bearer\"]\nwhy = \"the token of an Example account\"\n",
            );
        }
        self.parts().fold(text, |text, part| text + "\n" + part.manifest)
    }

    /// Whether it sends requests to its vendor.
    fn asks(&self) -> bool {
        self.parts().any(|part| part.imports.contains(&"http"))
    }

    fn code(&self) -> String {
        let roles: Vec<_> = self.parts().map(|part| part.role.as_str()).collect();
        let base = if self.asks() { "const API: &str = \"https://api.example.com/v1\";\n\n" } else { "" };
        let (check, mut imports) = if self.roles.contains(&Role::Source) {
            (include_str!("templates/check.rs.in"), vec!["http"])
        } else {
            ("impl Lifecycle for Connector {}\n", Vec::new())
        };
        imports.extend(["Config", "Lifecycle", "Result", "connector"]);
        imports.extend(self.parts().flat_map(|part| part.imports));
        let head = format!(
            "//! `{}`: which request to make, and what its answer means. The rest is the host's.\n\n\
             {}\n#[cfg(test)]\nmod tests;\n\n{base}struct Connector;\n\
             connector!(Connector: {});\n\n{check}",
            self.name,
            import(imports),
            roles.join(", ")
        );
        self.parts().fold(head, |text, part| text + "\n" + part.code)
    }

    fn readme(&self) -> String {
        let name = self.name;
        let tries: String = self.parts().filter_map(|part| tried(part.role)).collect();
        let config = if self.asks() {
            "\n[credentials.example]\nscheme = \"bearer\"\nsecret = \"file:example.key\"\n".to_owned()
        } else {
            String::new()
        };
        let bound = if config.is_empty() { "" } else { "credentials = { api-key = \"example\" }\n" };
        format!(
            "# {name}\n\nThe items of Example: replace them by what your vendor has, in `connector.toml`, `schemas` and `src`.\n\n\
             ```console\n$ cargo test               # against a vendor that the tests write\n\
             $ portcullis test .        # plays `tests/cassettes` in the sandbox\n\
             $ portcullis build .       # checks manifest, schemas and roles; puts it into the registry\n```\n\n\
             A connection, in `portcullis.toml`:\n\n```toml\nregistry = \"./registry\"\ndata = \"./data\"\n{config}\n\
             [connections.example]\nconnector = \"{name}@^0.1\"\n{bound}allow = \"requested\"\n```\n\n\
             ```console\n$ portcullis approve example\n{tries}```\n"
        )
    }
}

fn tried(role: Role) -> Option<&'static str> {
    match role {
        Role::Source => Some("$ portcullis check example\n$ portcullis read example items --validate\n"),
        Role::Actions => Some("$ portcullis call example create-item '{\"name\": \"Ada\"}' --dry-run\n"),
        Role::Destination => Some(
            "$ portcullis write example items tests/batch.ndjson --mode upsert --primary-key id --dry-run\n",
        ),
        Role::Webhook => Some(
            "$ portcullis deliver example tests/delivery.json\n\
             $ portcullis dev . --deliver tests/delivery.json    # signed as the vendor signs, at each save\n",
        ),
        _ => None,
    }
}

/// `use portcullis_sdk::{…};` as rustfmt writes it: types first, lines filled.
fn import(mut names: Vec<&str>) -> String {
    const WIDTH: usize = 110;
    names.sort_by_key(|name| (name.starts_with(|first: char| first.is_lowercase()), *name));
    names.dedup();
    let one = format!("use portcullis_sdk::{{{}}};\n", names.join(", "));
    if one.trim_end().len() <= WIDTH {
        return one;
    }
    let mut lines = vec![String::from("   ")];
    for name in names {
        if lines.last().is_some_and(|line| line.len() + name.len() + 2 >= WIDTH) {
            lines.push(String::from("   "));
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(&format!(" {name},"));
        }
    }
    format!("use portcullis_sdk::{{\n{}\n}};\n", lines.join("\n"))
}

#[cfg(test)]
mod tests;
