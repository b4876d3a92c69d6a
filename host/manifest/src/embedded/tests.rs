//! Components made by hand: what is read, and each foreign, cut or doctored twin.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{connector::tests::stripe, embed::embed};
use wasm_encoder::{
    Component as Encoder, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentTypeRef as Type, ComponentTypeSection, CustomSection, InstanceType, Module, ModuleSection,
    NestedComponentSection,
};

const LIFECYCLE: &str = "portcullis:connector/lifecycle@0.1.0";
const SOURCE: &str = "portcullis:connector/source@0.1.0";
const ACTIONS: &str = "portcullis:connector/actions@0.1.0";
const HTTP: &str = "portcullis:connector/http@0.1.0";

fn encoder(imports: &[&str], exports: &[&str]) -> Encoder {
    let mut component = Encoder::new();
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    component.section(&types);
    // Two sections each, as real components have.
    for name in imports {
        let mut section = ComponentImportSection::new();
        section.import(*name, Type::Instance(0));
        component.section(&section);
    }
    for name in exports {
        let mut section = ComponentExportSection::new();
        section.export(*name, ComponentExportKind::Instance, 0, None);
        component.section(&section);
    }
    component
}

fn plain() -> Vec<u8> {
    encoder(&[HTTP, "wasi:io/streams@0.2.6"], &[SOURCE, ACTIONS, LIFECYCLE]).finish()
}

fn assets() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([("a/zones.txt".to_owned(), b"Europe/Berlin".to_vec())])
}

fn whole() -> Vec<u8> {
    embed(&plain(), &stripe(), &assets()).unwrap()
}

fn with_section(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    use wasm_encoder::ComponentSection as _;
    CustomSection { name: name.into(), data: data.into() }.append_to_component(&mut bytes);
    bytes
}

#[test]
fn reads_what_was_embedded() {
    let bytes = with_section(whole(), "producers", b"x");
    let component = Component::read(&bytes).unwrap();
    assert_eq!(component.manifest, stripe());
    assert_eq!(component.assets, assets());
    assert_eq!(component.imports, [HTTP, "wasi:io/streams@0.2.6"]);
    assert_eq!(component.exports, [ACTIONS, LIFECYCLE, SOURCE]);
    assert_eq!(component.roles, BTreeSet::from([Role::Actions, Role::Source]));
    assert_eq!(component.size, bytes.len() as u64);
    assert_eq!(component.digest, digest_of(&bytes));
    let code = Component::code(&bytes).unwrap();
    assert_eq!(code, with_section(plain(), "producers", b"x"), "sections of others stay");
    assert_eq!(component.code_digest, digest_of(&code));
    assert_eq!(Component::code(&code).unwrap(), code);
    assert_eq!(digest_of(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

fn error(bytes: &[u8]) -> String {
    Component::read(bytes).unwrap_err().to_string()
}

#[test]
fn foreign_files() {
    assert_eq!(error(b"PK\x03\x04"), "not a WebAssembly component");
    assert_eq!(error(b"(component)"), "not a WebAssembly component");
    assert_eq!(error(&Module::new().finish()), "a core WebAssembly module, not a component");
    assert_eq!(
        error(b"\0asm\x0c\0\x01\0"),
        "WebAssembly of another format (version 12, layer 1), not a component"
    );
    assert_eq!(
        error(b"\0asm\x0d\0\x02\0"),
        "WebAssembly of another format (version 13, layer 2), not a component"
    );
    assert_eq!(error(&Encoder::new().finish()), "has no manifest: `portcullis build` embeds it");
    assert_eq!(error(&plain()), "has no manifest: `portcullis build` embeds it");
    assert_eq!(error(b""), "the file is empty");
    assert_eq!(error(b"\0asm"), "truncated: the file ends inside a section");
    assert_eq!(error(b"\0asm\x0d\0\x01\0\x63\x00"), "malformed at byte 8: unknown section 99");
    assert_eq!(
        error(b"\0asm\x0d\0\x01\0\x00\xff\xff\xff\xff\xff\x01"),
        "malformed at byte 13: invalid var_u32: integer representation too long"
    );
}

#[test]
fn every_cut_is_an_error() {
    let bytes = whole();
    let borders: Vec<usize> = sections(&bytes).unwrap().map(|s| s.unwrap().whole.end).collect();
    // Without its assets a component is another one, and its digest says so.
    let asset_start = borders[borders.len() - 2];
    for end in (0..bytes.len()).filter(|end| *end != asset_start) {
        let error = Component::read(&bytes[..end]).unwrap_err();
        let expected = if end == 0 {
            EmbeddedError::Empty
        } else if end >= 8 && (borders.contains(&end) || end == 8) {
            EmbeddedError::NoManifest
        } else {
            EmbeddedError::Truncated
        };
        assert_eq!(error, expected, "cut at {end}");
    }
}

#[test]
fn every_flipped_byte_is_an_answer() {
    let bytes = whole();
    for at in 0..bytes.len().min(400) {
        for bit in [0x01, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[at] ^= bit;
            let _ = Component::read(&other);
            let _ = Component::code(&other);
        }
    }
}

#[test]
fn only_the_top_of_the_component_counts() {
    let manifest = stripe().to_json();
    let custom = || CustomSection { name: MANIFEST_SECTION.into(), data: (&manifest[..]).into() };
    let mut module = Module::new();
    module.section(&custom());
    let mut inner = Encoder::new();
    inner.section(&custom());
    let mut outer = encoder(&[], &[LIFECYCLE, SOURCE, ACTIONS]);
    outer.section(&ModuleSection(&module));
    outer.section(&NestedComponentSection(&inner));
    let nested = outer.finish();
    assert_eq!(error(&nested), "has no manifest: `portcullis build` embeds it");
    assert!(
        Component::read(&embed(&nested, &stripe(), &BTreeMap::new()).unwrap()).is_ok(),
        "nested ones are no second one"
    );
    assert_eq!(error(&with_section(whole(), MANIFEST_SECTION, &manifest)), "has more than one manifest");
    assert_eq!(
        error(&with_section(whole(), "portcullis:asset:a/zones.txt", b"x")),
        "asset name `a/zones.txt` is not valid or not unique"
    );
    assert_eq!(
        error(&with_section(whole(), "portcullis:asset:../x", b"x")),
        "asset name `../x` is not valid or not unique"
    );
    assert_eq!(
        error(&with_section(whole(), "portcullis:grants", b"x")),
        "section `portcullis:grants` is not supported"
    );
    assert!(
        Component::read(&with_section(whole(), "Portcullis:manifest", b"x")).is_ok(),
        "a look-alike is a foreign section"
    );
    let large = vec![b' '; MANIFEST_BYTES_MAX + 1];
    assert_eq!(error(&with_section(plain(), MANIFEST_SECTION, &large)), "its manifest is larger than 8 MiB");
    assert_eq!(error(&with_section(plain(), MANIFEST_SECTION, b"{}")), "manifest: `format` is missing");
    assert_eq!(
        Component::read(&vec![0; crate::limits::COMPONENT_BYTES_MAX + 1]).unwrap_err(),
        EmbeddedError::TooLarge
    );
}

#[test]
fn imports_and_roles_are_read_before_anything_is_compiled() {
    let build = |imports: &[&str], exports: &[&str]| {
        embed(&encoder(imports, exports).finish(), &stripe(), &BTreeMap::new())
    };
    let all = [LIFECYCLE, SOURCE, ACTIONS];
    assert!(build(&[HTTP], &all).is_ok());
    assert_eq!(
        build(&["portcullis:connector/http@0.1.1"], &all).unwrap_err().to_string(),
        "imports `portcullis:connector/http@0.1.1`: this portcullis has version 0.1.0 alone"
    );
    assert_eq!(
        build(&["wasi:http/outgoing-handler@0.2.6"], &all).unwrap_err().to_string(),
        "imports `wasi:http/outgoing-handler@0.2.6`: the manifest does not list the capability `wasi-http`"
    );
    assert_eq!(
        build(&[HTTP], &[LIFECYCLE, SOURCE]).unwrap_err().to_string(),
        "its manifest declares the roles `actions`, `source`, but it exports `source`"
    );
    assert_eq!(
        build(&[HTTP], &[SOURCE, ACTIONS]).unwrap_err().to_string(),
        "exports no `portcullis:connector/lifecycle@0.1.0`"
    );
    assert_eq!(
        build(&[HTTP], &[LIFECYCLE, SOURCE, ACTIONS, "portcullis:connector/admin@0.1.0"])
            .unwrap_err()
            .to_string(),
        "exports `portcullis:connector/admin@0.1.0`: not part of the connector world"
    );

    let mut function = encoder(&[], &all);
    let mut section = ComponentImportSection::new();
    section.import(HTTP, Type::Func(0));
    function.section(&section);
    let refused = embed(&function.finish(), &stripe(), &BTreeMap::new()).unwrap_err();
    assert_eq!(refused.to_string(), format!("imports `{HTTP}`: not part of the connector world"));
}

#[test]
fn embedding_refuses_what_could_not_be_read_back() {
    assert_eq!(embed(&whole(), &stripe(), &BTreeMap::new()).unwrap_err(), EmbeddedError::AlreadyEmbedded);
    assert_eq!(
        embed(&Module::new().finish(), &stripe(), &BTreeMap::new()).unwrap_err(),
        EmbeddedError::CoreModule
    );
    let bad = BTreeMap::from([("A".to_owned(), Vec::new())]);
    assert_eq!(embed(&plain(), &stripe(), &bad).unwrap_err(), EmbeddedError::AssetName("A".into()));
}
