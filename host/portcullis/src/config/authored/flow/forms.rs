//! `rename`, `cast`, `default`, `drop` and `mask`: what a step does to a value, for people without jq. Each names its places by
//! pointers; together they are one jq program, which is evaluated as every other.
use portcullis_manifest::diagnose::{Spanned, Table, nearest, shown};
use serde_json::Value;

/// The keys, in the order in which they are done.
pub const FORMS: [&str; 5] = ["rename", "cast", "default", "drop", "mask"];
/// Places in one step.
const PLACES_MAX: usize = 1000;
/// What stands in place of a masked value.
const MASK: &str = "***";
/// What `cast` makes.
const TYPES: [&str; 4] = ["string", "integer", "number", "boolean"];

/// Whether the step has one of them.
pub fn are_there(table: &Table<'_>) -> bool {
    FORMS.iter().any(|key| table.has(key))
}

/// The program, where nothing is wrong with them.
pub fn program(table: &mut Table<'_>) -> Option<String> {
    let mut read = Read { parts: Vec::new(), places: 0, is_wrong: false };
    for (place, name) in table.string_map("rename") {
        read.add(table, &place, |pointer| renamed(pointer, &name.value));
        if name.value.is_empty() {
            read.wrong(table, &name, "a key needs a name", None);
        }
    }
    for (place, kind) in table.string_map("cast") {
        match TYPES.into_iter().find(|known| *known == kind.value) {
            Some(kind) => read.add(table, &place, |pointer| Some(cast(pointer, kind))),
            None => {
                let near = nearest(&kind.value, TYPES);
                let help = near.map_or(format!("one of `{}`", TYPES.join("`, `")), |near| {
                    format!("did you mean `{near}`?")
                });
                read.wrong(table, &kind, &format!("nothing is cast to `{}`", shown(&kind.value)), Some(help));
            }
        }
    }
    if let Some(defaults) = table.json("default") {
        match defaults.value {
            Value::Object(values) => {
                for (place, value) in values {
                    let place = Spanned { value: place, span: defaults.span.clone() };
                    read.add(table, &place, |pointer| defaulted(pointer, &value));
                }
            }
            _ => {
                let help = Some("`default = { \"/currency\" = \"EUR\" }`".to_owned());
                table.fault(defaults.span, "`default`: expected a table", help);
                read.is_wrong = true;
            }
        }
    }
    for place in table.strings("drop").unwrap_or_default() {
        read.add(table, &place, dropped);
    }
    for place in table.strings("mask").unwrap_or_default() {
        read.add(table, &place, |pointer| Some(masked(pointer)));
    }
    for key in FORMS {
        if table.lists_nothing(key) {
            let help = Some("remove the key, or name a place".to_owned());
            table.fault(table.key_span(key), format!("`{key}` lists nothing"), help);
            read.is_wrong = true;
        }
    }
    if read.places > PLACES_MAX {
        let message = format!("{} places, more than {PLACES_MAX}", read.places);
        table.fault(table.span(), message, None);
        return None;
    }
    (!read.is_wrong && !read.parts.is_empty()).then(|| read.parts.join(" | "))
}

struct Read {
    parts: Vec<String>,
    places: usize,
    is_wrong: bool,
}

impl Read {
    /// `part` gives none where the last step of the pointer is `*`, and has to be a key.
    fn add(&mut self, table: &Table<'_>, place: &Spanned<String>, part: impl Fn(&Pointer) -> Option<String>) {
        self.places += 1;
        let Some(pointer) = Pointer::parse(&place.value) else {
            let help = Some("as in `/customer/id`, or `/lines/*/price` for each line".to_owned());
            return self.wrong(
                table,
                place,
                &format!("`{}` is no pointer into a value", shown(&place.value)),
                help,
            );
        };
        match part(&pointer) {
            Some(part) => self.parts.push(part),
            None => {
                let message = format!("`{}` names no key: it ends in `*`", shown(&place.value));
                self.wrong(table, place, &message, None);
            }
        }
    }

    fn wrong(&mut self, table: &Table<'_>, at: &Spanned<String>, message: &str, help: Option<String>) {
        self.is_wrong = true;
        table.fault(at.span.clone(), message, help);
    }
}

/// A pointer of RFC 6901 below the whole value; `*` stands for each of a list, or of an object's values.
struct Pointer {
    text: String,
    above: Vec<String>,
    last: String,
}

impl Pointer {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        if rest.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
            return None;
        }
        let mut above: Vec<_> =
            rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
        let last = above.pop()?;
        Some(Self { text: text.to_owned(), above, last })
    }

    /// The path to what holds the last step; nothing where something on its way is not there.
    fn parent(&self) -> String {
        self.above.iter().fold(".".to_owned(), |path, step| path + " | " + &inside(step))
    }

    /// The path to the place.
    fn path(&self) -> String {
        format!("{} | {}", self.parent(), inside(&self.last))
    }

    /// The last step where it is a key, as jq writes it.
    fn key(&self) -> Option<String> {
        (self.last != "*").then(|| key(&self.last))
    }
}

/// From a value to what it has under this step.
fn inside(step: &str) -> String {
    match step {
        "*" => "select(type == \"array\" or type == \"object\") | .[]".to_owned(),
        step => format!("select({}) | .[{}]", has(step), key(step)),
    }
}

/// Digits are an index of a list, and a key of an object.
fn key(step: &str) -> String {
    match step.parse::<u32>() {
        Ok(index) if index.to_string() == step => {
            format!("(if type == \"array\" then {index} else {} end)", text(step))
        }
        _ => text(step),
    }
}

fn has(step: &str) -> String {
    match step.parse::<u32>() {
        Ok(index) if index.to_string() == step => format!(
            "if type == \"array\" then length > {index} elif type == \"object\" then has({}) else false end",
            text(step)
        ),
        _ => format!("type == \"object\" and has({})", text(step)),
    }
}

/// A string of jq: JSON's, which never writes the `\(` by which jq fills something in.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// The same value under another key of the same object, at the same place among the others.
fn renamed(pointer: &Pointer, name: &str) -> Option<String> {
    let (key, name) = (pointer.key()?, text(name));
    let taken = text(&format!("rename: `{}` can't take a name that is there already", pointer.text));
    Some(format!(
        "(({} | select(type == \"object\" and has({key}))) |= (if {key} == {name} then . elif has({name}) then error({taken}) \
         else with_entries(if .key == {key} then .key = {name} else . end) end))",
        pointer.parent()
    ))
}

fn cast(pointer: &Pointer, kind: &str) -> String {
    let refused = text(&format!("cast: `{}` is no {kind}", pointer.text));
    let made = match kind {
        "string" => format!(
            "if type == \"string\" then . elif type == \"number\" or type == \"boolean\" then tojson else error({refused}) end"
        ),
        "integer" => number("^-?(0|[1-9][0-9]*)$", &refused),
        "number" => number("^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?$", &refused),
        _ => format!(
            "if type == \"boolean\" then . elif . == \"true\" or . == \"1\" or . == 1 then true \
             elif . == \"false\" or . == \"0\" or . == 0 then false else error({refused}) end"
        ),
    };
    format!("(({} | select(. != null)) |= ({made}))", pointer.path())
}

/// Digits stay as they are written: only their quotes go.
fn number(form: &str, refused: &str) -> String {
    format!(
        "(if type == \"string\" then . elif type == \"number\" then tojson else error({refused}) end) \
         | if test({}) then fromjson else error({refused}) end",
        text(form)
    )
}

/// Where there is nothing, or `null`, in an object that is there.
fn defaulted(pointer: &Pointer, value: &Value) -> Option<String> {
    let key = pointer.key()?;
    Some(format!(
        "(({} | select(type == \"object\" and .[{key}] == null)) |= (.[{key}] = {}))",
        pointer.parent(),
        // JSON is jq: what jq would fill into a string begins with what JSON never writes.
        value
    ))
}

fn dropped(pointer: &Pointer) -> Option<String> {
    let key = pointer.key()?;
    Some(format!("(({} | select({})) |= del(.[{key}]))", pointer.parent(), has(&pointer.last)))
}

/// What is not there stays so: a mask says that something was.
fn masked(pointer: &Pointer) -> String {
    format!("(({} | select(. != null)) |= {})", pointer.path(), text(MASK))
}
