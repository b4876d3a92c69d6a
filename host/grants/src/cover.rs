//! Compares rules: overlap and cover. Both are exact for this rule language, since every field of a rule is a set
//! of its own and a request is matched field by field.
use crate::Rule;

/// Whether some request matches both.
pub fn overlap(a: &Rule, b: &Rule) -> bool {
    a.methods().iter().any(|method| b.has_method(method))
        && a.scheme() == b.scheme()
        && a.port() == b.port()
        && a.host_pattern().overlaps(b.host_pattern())
        && a.path().overlaps(b.path())
}

/// Whether every request that `inner` allows `outer` allows too; what can't be shown is false.
pub fn cover(outer: &Rule, inner: &Rule) -> bool {
    inner.methods().iter().all(|method| outer.has_method(method))
        && outer.scheme() == inner.scheme()
        && outer.port() == inner.port()
        && outer.host_pattern().covers(inner.host_pattern())
        && outer.path().covers(inner.path())
}

#[cfg(test)]
mod tests;
