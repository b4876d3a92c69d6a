//! `connector!`: exports exactly the roles that are named.

/// Exports a type's roles, and its lifecycle. Roles: `actions`, `source`, `destination`, `webhook`, `subscriptions`,
/// `migration`; each needs the trait of that name.
///
/// ```
/// # use portcullis_sdk::*;
/// struct Acme;
/// connector!(Acme: source);
/// impl Lifecycle for Acme {}
/// impl Source for Acme {
///     fn discover(_: Config) -> Result<Vec<StreamDescriptor>> { Ok(vec![]) }
///     fn read(_: Config, request: ReadRequest) -> Result<Page> { Err(Error::unknown_stream(&request.stream_name)) }
/// }
/// ```
///
/// A role whose trait is not implemented does not compile:
///
/// ```compile_fail
/// # use portcullis_sdk::*;
/// struct Acme;
/// impl Lifecycle for Acme {}
/// connector!(Acme: actions);
/// ```
///
/// Neither does a role that does not exist:
///
/// ```compile_fail
/// # use portcullis_sdk::*;
/// struct Acme;
/// impl Lifecycle for Acme {}
/// connector!(Acme: sources);
/// ```
#[macro_export]
macro_rules! connector {
    ($connector:ty : $($role:ident),+ $(,)?) => {
        $crate::__role!(lifecycle, $connector);
        $($crate::__role!($role, $connector);)+
    };
}

/// One role of `connector!`. Outside WebAssembly nothing is exported and the trait alone is asked for: there the names of
/// exports are no names of symbols.
#[doc(hidden)]
#[macro_export]
macro_rules! __role {
    (lifecycle, $connector:ty) => {
        $crate::__export!(lifecycle, Lifecycle, export_lifecycle, $connector);
    };
    (actions, $connector:ty) => {
        $crate::__export!(actions, Actions, export_actions, $connector);
    };
    (source, $connector:ty) => {
        $crate::__export!(source, Source, export_source, $connector);
    };
    (destination, $connector:ty) => {
        $crate::__export!(destination, Destination, export_destination, $connector);
    };
    (webhook, $connector:ty) => {
        $crate::__export!(webhook, Webhook, export_webhook, $connector);
    };
    (subscriptions, $connector:ty) => {
        $crate::__export!(subscriptions, Subscriptions, export_subscriptions, $connector);
    };
    (migration, $connector:ty) => {
        $crate::__export!(migration, Migration, export_migration, $connector);
    };
    ($other:ident, $connector:ty) => {
        compile_error!(concat!(
            "no role `",
            stringify!($other),
            "`: actions, source, destination, webhook, subscriptions, migration"
        ));
    };
}

/// See `__role`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($module:ident, $trait:ident, $export:ident, $connector:ty) => {
        const _: () = {
            const fn role<T: $crate::$trait>() {}
            role::<$connector>();
            #[cfg(target_arch = "wasm32")]
            const _: () = {
                type Exported = $crate::bridge::Bridge<$connector>;
        $crate::bindings::$module::$export!(Exported with_types_in $crate::bindings::$module);
            };
        };
    };
}
