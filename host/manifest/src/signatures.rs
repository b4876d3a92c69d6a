//! The functions that a role promises, type by type. A component may export an interface of the right name with other functions:
//! the engine would find out at the first call. Reads types that a validator made, so it belongs in the process that may fail.
use crate::{EmbeddedError, diagnose::shown, limits::SIGNATURE_BYTES_MAX, world::PACKAGE_VERSION};
use std::fmt::Write as _;
use wasmparser::{
    component_types::{ComponentDefinedType, ComponentEntityType, ComponentFuncTypeId, ComponentValType},
    types::TypesRef,
};

/// `INTERFACE FUNCTION TYPE` a line, every name replaced by what it stands for. A test holds it against the WIT.
const SIGNATURES: &str = include_str!("signatures.txt");

/// Interface, function, type.
fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    SIGNATURES.lines().filter_map(|line| {
        let (interface, rest) = line.split_once(' ')?;
        let (function, signature) = rest.split_once(' ')?;
        Some((interface, function, signature))
    })
}

/// Refuses a role whose functions are not those of the WIT: one that is missing, one with another type.
pub fn check(component: TypesRef<'_>) -> Result<(), EmbeddedError> {
    for (interface, function, expected) in all() {
        let name = format!("portcullis:connector/{interface}@{PACKAGE_VERSION}");
        let Some(item) = component.component_item_for_export(&name) else { continue };
        let refused = |problem: String| Err(EmbeddedError::Export { name: name.clone(), problem });
        let ComponentEntityType::Instance(instance) = item.ty else {
            return refused("not an interface".to_owned());
        };
        match component[instance].exports.get(function).map(|item| item.ty) {
            Some(ComponentEntityType::Func(id)) => {
                let found = signature(component, id);
                if found != expected {
                    let (found, expected) = differing(&found, expected);
                    return refused(format!(
                        "its function `{function}` has another type: `{found}`, expected `{expected}`"
                    ));
                }
            }
            _ => return refused(format!("it lacks the function `{function}` of `{interface}`")),
        }
    }
    Ok(())
}

/// Both from a little before their first difference, since the whole would fill a screen.
fn differing(found: &str, expected: &str) -> (String, String) {
    const BEFORE: usize = 40;
    const SHOWN: usize = 90;
    let same = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(BEFORE);
    let excerpt = |text: &str| {
        let cut: String = text.chars().skip(from).take(SHOWN).collect();
        let (before, after) =
            (if from > 0 { "…" } else { "" }, if text.chars().count() > from + SHOWN { "…" } else { "" });
        shown(&format!("{before}{cut}{after}"))
    };
    (excerpt(found), excerpt(expected))
}

/// The type of a function, cut where it grows beyond what any of ours is.
fn signature(types: TypesRef<'_>, id: ComponentFuncTypeId) -> String {
    let function = &types[id];
    let mut text = Text { types, out: String::new() };
    text.out.push_str(if function.async_ { "async func(" } else { "func(" });
    text.named(function.params.iter().map(|(name, ty)| (name.as_str(), *ty)));
    text.out.push(')');
    if let Some(result) = function.result {
        text.out.push_str(" -> ");
        text.value(result);
    }
    text.out
}

struct Text<'t> {
    types: TypesRef<'t>,
    out: String,
}

impl Text<'_> {
    /// The validator bounds how deep types nest, and not how large they are when each use is written out.
    fn is_full(&self) -> bool {
        self.out.len() > SIGNATURE_BYTES_MAX
    }

    fn named<'n>(&mut self, fields: impl Iterator<Item = (&'n str, ComponentValType)>) {
        for (i, (name, ty)) in fields.enumerate() {
            if self.is_full() {
                return;
            }
            let _ = write!(self.out, "{}{name}: ", if i == 0 { "" } else { ", " });
            self.value(ty);
        }
    }

    fn within(&mut self, kind: &str, types: impl Iterator<Item = Option<ComponentValType>>) {
        let _ = write!(self.out, "{kind}<");
        for (i, ty) in types.enumerate() {
            if self.is_full() {
                return;
            }
            self.out.push_str(if i == 0 { "" } else { ", " });
            match ty {
                Some(ty) => self.value(ty),
                None => self.out.push('_'),
            }
        }
        self.out.push('>');
    }

    fn value(&mut self, ty: ComponentValType) {
        let id = match ty {
            ComponentValType::Primitive(primitive) => {
                let _ = write!(self.out, "{primitive}");
                return;
            }
            ComponentValType::Type(id) => id,
        };
        if self.is_full() {
            return;
        }
        let types = self.types;
        match &types[id] {
            ComponentDefinedType::Primitive(primitive) => {
                let _ = write!(self.out, "{primitive}");
            }
            ComponentDefinedType::Record(record) => {
                self.out.push_str("record { ");
                self.named(record.fields.iter().map(|(name, ty)| (name.as_str(), *ty)));
                self.out.push_str(" }");
            }
            ComponentDefinedType::Variant(variant) => {
                self.out.push_str("variant { ");
                for (i, (name, case)) in variant.cases.iter().enumerate() {
                    if self.is_full() {
                        return;
                    }
                    let _ = write!(self.out, "{}{name}", if i == 0 { "" } else { ", " });
                    if let Some(ty) = case.ty {
                        self.out.push('(');
                        self.value(ty);
                        self.out.push(')');
                    }
                }
                self.out.push_str(" }");
            }
            ComponentDefinedType::Enum(names) => self.names("enum", names.iter().map(|name| name.as_str())),
            ComponentDefinedType::Flags(names) => self.names("flags", names.iter().map(|name| name.as_str())),
            ComponentDefinedType::List { element, .. } => self.within("list", [Some(*element)].into_iter()),
            ComponentDefinedType::Option { ty, .. } => self.within("option", [Some(*ty)].into_iter()),
            ComponentDefinedType::Result { ok, err, .. } => self.within("result", [*ok, *err].into_iter()),
            ComponentDefinedType::Tuple(tuple) => {
                self.within("tuple", tuple.types.iter().map(|ty| Some(*ty)))
            }
            // No role has any of these: their name is enough to differ.
            ComponentDefinedType::Map { .. } => self.out.push_str("map"),
            ComponentDefinedType::FixedLengthList { .. } => self.out.push_str("fixed-length list"),
            ComponentDefinedType::Own(_) => self.out.push_str("own"),
            ComponentDefinedType::Borrow(_) => self.out.push_str("borrow"),
            ComponentDefinedType::Future { .. } => self.out.push_str("future"),
            ComponentDefinedType::Stream { .. } => self.out.push_str("stream"),
        }
    }

    fn names<'n>(&mut self, kind: &str, names: impl Iterator<Item = &'n str>) {
        let _ = write!(self.out, "{kind} {{ ");
        for (i, name) in names.enumerate() {
            if self.is_full() {
                return;
            }
            let _ = write!(self.out, "{}{name}", if i == 0 { "" } else { ", " });
        }
        self.out.push_str(" }");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// Every function of every interface that is a role; the types are held by components that the WIT's own tools made.
    #[test]
    fn the_table_has_the_functions_of_the_wit() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/0.1.0");
        let mut expected = Vec::new();
        for interface in std::iter::once("lifecycle").chain(crate::Role::ALL.map(crate::Role::as_str)) {
            let text = std::fs::read_to_string(folder.join(format!("{interface}.wit"))).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                if let Some((name, _)) = line.split_once(": func(") {
                    expected.push((interface.to_owned(), name.trim().to_owned()));
                }
            }
        }
        let found: Vec<_> =
            all().map(|(interface, function, _)| (interface.to_owned(), function.to_owned())).collect();
        assert_eq!(found, expected);
        assert!(all().all(|(_, _, signature)| signature.len() < SIGNATURE_BYTES_MAX));
    }
}
