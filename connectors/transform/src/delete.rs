//! `delpaths`: removes what stands at paths, and keeps the order of what is left. What jaq does for `del` moves the last member of
//! an object to the place of the one that it removes, and removes one path after the other, each counted in what the former left.

use jaq_core::{Error, Exn, ValR, ValT as _, path::Opt};
use jaq_json::{Rc, Val};
use std::iter;

/// The value without what stands at each of these paths of it; of an array, the last one first, so that none moves another.
pub(crate) fn delete(value: Val, paths: Val) -> ValR<Val> {
    let Val::Arr(paths) = paths else { return Err(Error::typ(paths, "array")) };
    let mut paths: Vec<&Val> = paths.iter().collect();
    paths.sort_by(|a, b| b.cmp(a));
    paths.dedup();
    paths.into_iter().try_fold(value, |value, path| match path {
        Val::Arr(path) => at(value, path),
        other => Err(Error::typ(other.clone(), "array")),
    })
}

fn at(value: Val, path: &[Val]) -> ValR<Val> {
    match (path, value) {
        ([], _) | (_, Val::Null) => Ok(Val::Null),
        ([key], value) => member(value, key),
        ([key, rest @ ..], value) => {
            // What is not there is not made, to be removed from.
            if matches!(value.clone().index(key)?, Val::Null) {
                return Ok(value);
            }
            let inner = |inner| iter::once(at(inner, rest).map_err(Exn::from));
            result(value.map_index(key, Opt::Essential, inner))
        }
    }
}

fn member(value: Val, key: &Val) -> ValR<Val> {
    match (value, key) {
        (Val::Obj(mut members), Val::TStr(_)) => {
            if members.contains_key(key) {
                Rc::make_mut(&mut members).shift_remove(key);
            }
            Ok(Val::Obj(members))
        }
        (value @ Val::Arr(_), Val::Num(_) | Val::Obj(_)) => {
            result(value.map_index(key, Opt::Optional, |_| iter::empty()))
        }
        (value, key) => Err(Error::index(value, key.clone())),
    }
}

fn result(value: Result<Val, Exn<'_, Val>>) -> ValR<Val> {
    value
        .map_err(|exception| exception.get_err().unwrap_or_else(|_| Error::str("a break in what is removed")))
}
