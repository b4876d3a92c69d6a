//! What a component imports and exports, and how large its parts are, before anything is compiled. The names are those of
//! `portcullis_manifest::world`: the engine would link a look-alike by its semantic version.

use crate::{CompileError, engine, limits, text};
use portcullis_manifest::{signatures, world};
use std::collections::BTreeSet;
use wasmparser::{Encoding, Parser, Payload, Validator};

/// Names alone: cheap enough for each start, and done again by the compile child.
pub(crate) fn check_names(component: &[u8], capabilities: &BTreeSet<String>) -> Result<(), CompileError> {
    if component.len() as u64 > limits::COMPONENT_BYTES_MAX {
        return Err(CompileError::TooLarge { limit: "component-bytes", bound: limits::COMPONENT_BYTES_MAX });
    }
    let (mut depth, mut exports) = (0_usize, Vec::new());
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(CompileError::Invalid("this is a core module, not a component".to_owned()));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import.map_err(invalid)?.name.name;
                    world::check_import(name, capabilities).map_err(CompileError::Foreign)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    world::roles(&exports).map(|_roles| ()).map_err(CompileError::Foreign)
}

/// Names, sizes, validity, by exactly the features that the engine has on, and the types of the roles' functions. For the child
/// alone: a type that nests deep enough ends the process that reads it.
pub(crate) fn check(component: &[u8]) -> Result<(), CompileError> {
    // Which of them this one may import was judged by who started the child.
    check_names(component, &world::capabilities())?;
    let (mut modules, mut functions) = (0_usize, 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(invalid)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                modules += 1;
                bounded("modules", modules as u64, limits::MODULES_MAX as u64)?;
            }
            Payload::CodeSectionStart { count, .. } => {
                functions = functions.saturating_add(count);
                bounded("functions", functions.into(), limits::FUNCTIONS_MAX.into())?;
            }
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().len() as u64;
                bounded("function-body-bytes", bytes, limits::FUNCTION_BODY_BYTES_MAX as u64)?;
            }
            Payload::TypeSection(section) => {
                bounded("types", section.count().into(), limits::TYPES_MAX.into())?;
            }
            Payload::ComponentTypeSection(section) => {
                bounded("types", section.count().into(), limits::TYPES_MAX.into())?;
            }
            _ => {}
        }
    }
    let types = Validator::new_with_features(engine::features()).validate_all(component).map_err(invalid)?;
    signatures::check(types.as_ref()).map_err(CompileError::Foreign)
}

fn bounded(limit: &'static str, value: u64, bound: u64) -> Result<(), CompileError> {
    if value > bound { Err(CompileError::TooLarge { limit, bound }) } else { Ok(()) }
}

fn invalid(error: wasmparser::BinaryReaderError) -> CompileError {
    CompileError::Invalid(text::shown(&error.to_string(), limits::MESSAGE_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_manifest::EmbeddedError;

    #[test]
    fn no_component_is_refused() {
        for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0", b"PK\x03\x04"] {
            assert!(matches!(check(bytes), Err(CompileError::Invalid(_))), "{bytes:?}");
        }
        let empty = b"\0asm\x0d\0\x01\0";
        assert!(matches!(check(empty), Err(CompileError::Foreign(EmbeddedError::NoLifecycle))));
    }
}
