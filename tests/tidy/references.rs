//! The authors' references: what they say below their mark is made of the WIT and of the table of the manifest's keys. A reference
//! that differs is written beside itself, as `NAME.new`; `just references` puts it in place.
use crate::{files, none, read, workspace_root};
use portcullis_manifest::{
    connector::keys,
    keys::{Is, Key, Names, Section},
};
use std::{fmt::Write as _, fs};
use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeOwner,
    WorldItem,
};

/// What stands above it is written by hand.
const MARK: &str = "<!-- What follows is made by `just references`. -->\n";

#[test]
fn references_are_what_they_are_made_of() {
    let mut faults = Vec::new();
    for (path, made) in [("docs/authors/wit.md", wit()), ("docs/authors/manifest.md", manifest())] {
        let text = read(path);
        let Some((head, rest)) = text.split_once(MARK) else {
            faults.push(format!("{path}: no line `{}`", MARK.trim()));
            continue;
        };
        if rest != made {
            let beside = workspace_root().join(format!("{path}.new"));
            fs::write(&beside, format!("{head}{MARK}{made}")).expect("the folder of the reference");
            faults.push(format!("{path}: type `just references`"));
        }
    }
    none("a reference is what its source says", faults);
}

/// The interfaces of the world that has everything, in its order; first the types that they share.
fn wit() -> String {
    let mut resolve = Resolve::new();
    let (package, _) = resolve.push_dir(workspace_root().join("wit/0.1.0")).expect("the WIT");
    let world = resolve.select_world(&[package], Some("full-connector")).expect("its world");
    let world = &resolve.worlds[world];
    let interfaces = |items: Vec<&WorldItem>| {
        let interface = |item: &&WorldItem| match item {
            WorldItem::Interface { id, .. } => Some(&resolve.interfaces[*id]),
            _ => None,
        };
        items.iter().filter_map(interface).collect::<Vec<_>>()
    };
    let (imports, exports) =
        (interfaces(world.imports.values().collect()), interfaces(world.exports.values().collect()));
    let (shared, imports): (Vec<_>, Vec<_>) = imports.into_iter().partition(|one| one.functions.is_empty());
    let groups = [("Types", shared), ("What a connector calls", imports), ("What a connector is", exports)];
    let mut text = String::from("\n| interface | |\n|---|---|\n");
    for interface in groups.iter().flat_map(|(_, interfaces)| interfaces) {
        let (name, docs) = (name(interface), plain(&interface.docs));
        let first = docs.split_once(". ").map_or(docs.as_str(), |(first, _)| first).trim_end_matches('.');
        writeln!(text, "| [`{name}`](#{name}) | {first} |").expect("a string");
    }
    for (title, interfaces) in groups {
        write!(text, "\n# {title}\n").expect("a string");
        for interface in interfaces {
            write!(text, "\n## {}\n\n{}\n", name(interface), paragraphs(&interface.docs)).expect("a string");
            for id in interface.types.values() {
                text.push_str(&definition(&resolve, &resolve.types[*id]));
            }
            for function in interface.functions.values() {
                text.push_str(&function_text(&resolve, interface, function));
            }
        }
    }
    text
}

fn name(interface: &Interface) -> &str {
    interface.name.as_deref().expect("interfaces of the package have names")
}

/// As it stands in the WIT.
fn paragraphs(docs: &Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().to_owned()
}

/// In one line, for a cell of a table.
fn plain(docs: &Docs) -> String {
    let words = paragraphs(docs).split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace('|', "\\|")
}

/// A type that an interface makes; what it takes from another one is told there.
fn definition(resolve: &Resolve, of: &TypeDef) -> String {
    let name = of.name.as_deref().unwrap_or_default();
    let rows: Vec<(String, String)> = match &of.kind {
        TypeDefKind::Type(Type::Id(id)) if resolve.types[*id].owner != of.owner => return String::new(),
        TypeDefKind::Record(record) => {
            let row = |field: &wit_parser::Field| {
                (format!("`{}: {}`", field.name, type_text(resolve, &field.ty)), plain(&field.docs))
            };
            record.fields.iter().map(row).collect()
        }
        TypeDefKind::Variant(variant) => {
            let row = |case: &wit_parser::Case| match &case.ty {
                Some(of) => (format!("`{}({})`", case.name, type_text(resolve, of)), plain(&case.docs)),
                None => (format!("`{}`", case.name), plain(&case.docs)),
            };
            variant.cases.iter().map(row).collect()
        }
        TypeDefKind::Enum(list) => {
            list.cases.iter().map(|case| (format!("`{}`", case.name), plain(&case.docs))).collect()
        }
        TypeDefKind::Flags(list) => {
            list.flags.iter().map(|flag| (format!("`{}`", flag.name), plain(&flag.docs))).collect()
        }
        TypeDefKind::Resource => Vec::new(),
        TypeDefKind::Type(is) => {
            let docs = paragraphs(&of.docs);
            return format!("\n### type `{name} = {}`\n\n{docs}\n", type_text(resolve, is));
        }
        _ => Vec::new(),
    };
    let mut text = format!("\n### {} `{name}`\n\n{}\n", of.kind.as_str(), paragraphs(&of.docs));
    if rows.is_empty() {
        return text;
    }
    // Cases that need no words stand in a line.
    if rows.iter().all(|(_, words)| words.is_empty()) {
        let names: Vec<String> = rows.into_iter().map(|(name, _)| name).collect();
        writeln!(text, "\n{}", names.join(", ")).expect("a string");
        return text;
    }
    text.push_str("\n| | |\n|---|---|\n");
    for (name, words) in rows {
        writeln!(text, "| {name} | {words} |").expect("a string");
    }
    text
}

fn function_text(resolve: &Resolve, interface: &Interface, function: &Function) -> String {
    let (title, parameters) = match &function.kind {
        FunctionKind::Method(of) => {
            let of = resolve.types[*of].name.clone().unwrap_or_default();
            let method = function.name.rsplit('.').next().unwrap_or_default();
            (format!("{of}.{method}"), &function.params[1..])
        }
        _ => (format!("{}.{}", name(interface), function.name), &function.params[..]),
    };
    let parameters: Vec<String> =
        parameters.iter().map(|one| format!("{}: {}", one.name, type_text(resolve, &one.ty))).collect();
    let result = function.result.map(|of| format!(" -> {}", type_text(resolve, &of))).unwrap_or_default();
    let short = title.rsplit('.').next().unwrap_or_default();
    format!(
        "\n### `{title}`\n\n```wit\n{short}: func({}){result}\n```\n\n{}\n",
        parameters.join(", "),
        paragraphs(&function.docs)
    )
}

fn type_text(resolve: &Resolve, of: &Type) -> String {
    let id = match of {
        Type::Id(id) => *id,
        simple => return format!("{simple:?}").to_lowercase(),
    };
    let definition = &resolve.types[id];
    let text = |of: &Type| type_text(resolve, of);
    let optional = |of: &Option<Type>| of.as_ref().map_or_else(|| "_".to_owned(), text);
    match (&definition.name, &definition.kind) {
        (Some(name), _) if definition.owner != TypeOwner::None => name.clone(),
        (_, TypeDefKind::Option(of)) => format!("option<{}>", text(of)),
        (_, TypeDefKind::List(of)) => format!("list<{}>", text(of)),
        (_, TypeDefKind::Tuple(tuple)) => {
            format!("tuple<{}>", tuple.types.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        (_, TypeDefKind::Result(result)) => match (&result.ok, &result.err) {
            (Some(ok), None) => format!("result<{}>", text(ok)),
            (ok, err) => format!("result<{}, {}>", optional(ok), optional(err)),
        },
        (_, TypeDefKind::Handle(Handle::Own(id))) => text(&Type::Id(*id)),
        (_, TypeDefKind::Handle(Handle::Borrow(id))) => format!("borrow<{}>", text(&Type::Id(*id))),
        (_, kind) => panic!("a {} has no words here", kind.as_str()),
    }
}

/// Every table of the manifest.
fn manifest() -> String {
    let mut text = String::new();
    table(&mut text, &keys::ROOT);
    for key in keys::ROOT.keys {
        let name = match key.is {
            Is::Table(_) => format!("`[{}]`", key.name),
            Is::Named(_, _) => format!("`[{}.NAME]`", key.name),
            Is::Tables(_) => format!("`[[{}]]`", key.name),
            _ => continue,
        };
        write!(text, "\n## {name}\n").expect("a string");
        forms(&mut text, key, "");
    }
    text
}

/// The tables that a key may have, and below each those that its keys may have.
fn forms(text: &mut String, key: &Key, title: &str) {
    let forms: &[Section] = match key.is {
        Is::Table(one) => std::slice::from_ref(one),
        Is::Named(_, forms) | Is::Tables(forms) | Is::OneOf(forms) | Is::WordOrTable(_, forms) => forms,
        _ => return,
    };
    for form in forms {
        write!(text, "\n{title}{}\n", form.words).expect("a string");
        table(text, form);
    }
    for key in forms.iter().flat_map(|form| form.keys) {
        self::forms(text, key, &format!("`{}`: ", key.name));
    }
}

fn table(text: &mut String, section: &Section) {
    text.push_str("\n| key | is | default | |\n|---|---|---|---|\n");
    for key in section.keys {
        let default = match (key.default, key.required) {
            (Some(""), _) => "none".to_owned(),
            (Some(default), _) => format!("`{}`", default.replace('|', "\\|")),
            (None, true) => "has to be there".to_owned(),
            (None, false) => String::new(),
        };
        let words = key.words.replace('|', "\\|");
        writeln!(text, "| `{}` | {} | {default} | {words} |", key.name, kind(key)).expect("a string");
    }
}

fn kind(key: &Key) -> String {
    let list = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match key.is {
        Is::Text => "text".to_owned(),
        Is::Path => "a file".to_owned(),
        Is::Name => "`publisher/name`".to_owned(),
        Is::Version => "`1.2.0`".to_owned(),
        Is::Choice(words) => list(words),
        Is::Choices(words) => format!("list of {}", list(words)),
        Is::Time => "`24h`, `30s`".to_owned(),
        Is::Count(_) => "a number from 1".to_owned(),
        Is::Rate => "a number".to_owned(),
        Is::Flag => "`true`, `false`".to_owned(),
        Is::Texts => "list of texts".to_owned(),
        Is::TextOrTexts => "text, or a list".to_owned(),
        Is::Requested => "a rule".to_owned(),
        Is::AllRequested => "list of rules".to_owned(),
        Is::Map => "names and texts".to_owned(),
        Is::Paths => "names and files".to_owned(),
        Is::Table(_) | Is::OneOf(_) => "a table".to_owned(),
        Is::WordOrTable(words, _) => format!("{}; or a table", list(words)),
        Is::Tables(_) => "tables".to_owned(),
        Is::Named(Names::Label, _) => "tables by name: lower-case letters, digits, `-`".to_owned(),
        Is::Named(_, _) => "tables by name: letters, digits, `-`, `_`, `.`".to_owned(),
        _ => panic!("`{}` is of a kind that no manifest has", key.name),
    }
}

/// Tables of a page: of each row the cells, whose header is this one.
fn rows(page: &str, header: &str) -> Vec<Vec<String>> {
    let (mut rows, mut within) = (Vec::new(), false);
    for line in page.lines() {
        within = line == header || (within && line.starts_with('|'));
        if within && line != header && !line.starts_with("|---") {
            rows.push(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

#[test]
fn every_kind_of_error_is_told() {
    let page = read("docs/authors/errors.md");
    let told: Vec<String> = rows(&page, "| kind | when | the host |")
        .into_iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let mut resolve = Resolve::new();
    resolve.push_dir(workspace_root().join("wit/0.1.0")).expect("the WIT");
    let kinds = resolve.types.iter().find_map(|(_, of)| match (&of.name, &of.kind) {
        (Some(name), TypeDefKind::Enum(list)) if name == "error-kind" => Some(list),
        _ => None,
    });
    let kinds: Vec<&str> = kinds.expect("error-kind").cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(told, kinds);
}

/// `error_for_status` as the page tells it: numbers and the kind.
#[test]
fn every_status_becomes_what_the_page_says() {
    let page = read("docs/authors/errors.md");
    let told: Vec<(String, String)> = rows(&page, "| status | kind |")
        .into_iter()
        .map(|row| (row[0].replace(", ", " | ").replace(" to ", "..="), row[1].replace(['`', '-'], "")))
        .collect();
    let source = read("sdk/rust/src/http/response.rs");
    let arm = |line: &str| {
        let (status, kind) = line.trim().split_once(" => ErrorKind::")?;
        status
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| (status.to_owned(), kind.trim_end_matches(',').to_lowercase()))
    };
    let made: Vec<(String, String)> = source.lines().filter_map(arm).collect();
    assert!(made.len() > 5 && told == made, "{told:?}\n{made:?}");
}

/// Code that a page takes out of a connector stands there: its tests are the page's.
#[test]
fn excerpts_stand_in_their_files() {
    let (mut faults, mut seen) = (Vec::new(), 0);
    for path in files("docs/authors", &[".md"]) {
        let page = read(&path);
        for block in page.split("```rust connectors/").skip(1) {
            let (head, code) = block.split_once('\n').expect("a line");
            let code = code.split("```").next().unwrap_or_default();
            seen += 1;
            if code.trim().is_empty() || !read(&format!("connectors/{head}")).contains(code) {
                faults.push(format!("{path}: connectors/{head} has not\n{code}"));
            }
        }
    }
    assert!(seen >= 9, "{seen}");
    none("what a page shows of a file stands in it", faults);
}
