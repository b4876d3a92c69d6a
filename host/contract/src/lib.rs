//! Schemas as contracts: JSON Schema 2020-12. Names what was expected where, never what was found, since a value may be a secret or
//! a person's. A schema's author decides what it takes to compile it and to hold a document against it. So this process does it
//! where the schema is so plain that the work grows with the document alone; every other goes to a process of its own, which may use
//! so much memory and time and is killed when nobody waits for it any more.

mod child;
mod frame;
mod judge;
pub mod limits;
mod loops;
mod plain;
mod schema;
mod stop;
mod worker;

pub use child::schema_child_main;
pub use schema::{Fault, Schema, SchemaError, Schemas};
pub use stop::Stop;
pub use worker::judge_apart;
