//! Mints `AuthorizedRequest`: private constructor, not `Clone`, the only thing the transport accepts.
//! Refuses what no approved manifest rule, no rule of the operation or no operator rule matches, paths and query
//! names that a server could take for something else, and credentials that the rule does not list.
mod query_name;

pub use query_name::ReservedName;

use crate::{
    Attributes, CanonicalUrl, FromResponse, Grants, ManifestRule, Method, NamedUrls, OperatorRules, Rule,
    cover,
    explain::nearest,
    limits::NAMED_URLS_MAX,
    path::{PathError, Reading, RequestPath},
    remedy,
};

/// A request that passed one approved manifest rule and one operator rule. Immutable.
#[derive(Debug)]
pub struct AuthorizedRequest {
    method: Method,
    url: CanonicalUrl,
    manifest_place: String,
    manifest_rule: String,
    operator_place: String,
    credential: Option<String>,
    attributes: Attributes,
    named: bool,
}

impl AuthorizedRequest {
    /// As it goes out.
    pub fn method(&self) -> &Method {
        &self.method
    }
    /// As it goes out, before a credential's query pair.
    pub fn url(&self) -> &CanonicalUrl {
        &self.url
    }
    /// `http[0].allow[1]`.
    pub fn manifest_place(&self) -> &str {
        &self.manifest_place
    }
    /// Text of the manifest rule.
    pub fn manifest_rule(&self) -> &str {
        &self.manifest_rule
    }
    /// `connections.billing.allow[0]`, or `requested`.
    pub fn operator_place(&self) -> &str {
        &self.operator_place
    }
    /// The slot whose credential is attached.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }
    /// What holds for it.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }
    /// An answer of the run named this URL, and it passes for that alone: its query is nobody's to read.
    pub fn is_named(&self) -> bool {
        self.named
    }
    /// Safe by method, or its rule says `safe`.
    pub fn is_safe(&self) -> bool {
        self.attributes.safe || self.method.is_safe()
    }
}

/// Why a request was refused, for the operator. The guest learns only the exchange id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denial {
    /// The typed reason.
    pub reason: DenialReason,
    /// TOML to paste into the operator's config or the manifest, with where it goes; absent where nothing may allow it.
    pub remedy: Option<String>,
}

/// The typed reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DenialReason {
    /// The URL was refused by the parser.
    #[error("refused URL: {0}")]
    Url(crate::UrlError),
    /// The path holds what no rule lets through.
    #[error("refused path `{path}`: {why}")]
    Path {
        /// As the guest wrote it.
        path: String,
        /// What is wrong with it.
        why: PathError,
    },
    /// A query name that makes a server take another method.
    #[error("refused query name `{}`, which some servers read as the method", .0.escape_debug())]
    Query(String),
    /// A name or value that the rule's `query` does not list.
    #[error("{place} matches but for its `query`: {why}")]
    QueryRule {
        /// The rule.
        place: String,
        /// Which pair.
        why: String,
    },
    /// The method does not exist here.
    #[error("method `{}` is never sent", .0.escape_debug())]
    Method(String),
    /// No approved manifest rule matches; `nearest` and what missed there.
    #[error("no approved manifest rule allows `{request}`{}", nearest.as_ref().map(|n| format!("; nearest: {n}")).unwrap_or_default())]
    Manifest {
        /// `METHOD URL` without query.
        request: String,
        /// The nearest rule and what misses.
        nearest: Option<String>,
    },
    /// A `from-response` matches, and no answer of the run named this URL.
    #[error(
        "{place} allows `{request}` only where an answer to `{of}` named exactly this URL at {at} in this run{}",
        if *over { format!("; the answers named more than {NAMED_URLS_MAX}, and those after the first {NAMED_URLS_MAX} are not kept") } else { ", and none did".to_owned() }
    )]
    Unnamed {
        /// Of the rule.
        place: Box<str>,
        /// `METHOD URL` without query.
        request: Box<str>,
        /// Whose answers are read.
        of: Box<str>,
        /// Where in them.
        at: Box<str>,
        /// Some were named that are not kept.
        over: bool,
    },
    /// A manifest rule matches, no operator rule does.
    #[error("no operator rule allows `{request}`{}", nearest.as_ref().map(|n| format!("; nearest: {n}")).unwrap_or_default())]
    Operator {
        /// `METHOD URL` without query.
        request: String,
        /// The nearest rule and what misses.
        nearest: Option<String>,
    },
    /// Outside what any approval may give.
    #[error("`{request}` is outside the boundary: {place}")]
    Boundary {
        /// `METHOD URL` without query.
        request: String,
        /// The rule, or the list without one that lets it pass.
        place: String,
    },
    /// The action or stream narrowed its rules, and none of them matches.
    #[error("the operation's own `http` list does not allow `{0}`")]
    Operation(String),
    /// Which credential slot the guest named or must name.
    #[error("{0}")]
    Credential(String),
}

impl From<DenialReason> for Denial {
    fn from(reason: DenialReason) -> Self {
        Self { reason, remedy: None }
    }
}

impl Grants {
    /// Decides, where no answer has named a URL. `operation` = the `http` list of the running action (None = all approved
    /// rules). `credential` = the slot that the guest named. `connection` names the connection in remedies.
    pub fn authorize(
        &self,
        connection: &str,
        method: &str,
        url: &str,
        operation: Option<&[Rule]>,
        credential: Option<&str>,
    ) -> Result<AuthorizedRequest, Denial> {
        self.in_run(&NamedUrls::default()).authorize(connection, method, url, operation, credential)
    }

    /// Decides the same, and makes no words of a refusal that nobody will read: they cost more than the decision.
    pub fn authorize_tersely(
        &self,
        method: &str,
        url: &str,
        operation: Option<&[Rule]>,
        credential: Option<&str>,
    ) -> Result<AuthorizedRequest, Denial> {
        self.in_run(&NamedUrls::default()).authorize_tersely(method, url, operation, credential)
    }

    /// The same grants in a run whose answers named these URLs.
    pub fn in_run<'a>(&'a self, named: &'a NamedUrls) -> InRun<'a> {
        InRun { grants: self, named }
    }
}

/// Grants, and what the answers of one run named.
#[derive(Clone, Copy, Debug)]
pub struct InRun<'a> {
    grants: &'a Grants,
    named: &'a NamedUrls,
}

impl<'a> InRun<'a> {
    /// See `Grants::authorize`.
    pub fn authorize(
        self,
        connection: &str,
        method: &str,
        url: &str,
        operation: Option<&[Rule]>,
        credential: Option<&str>,
    ) -> Result<AuthorizedRequest, Denial> {
        self.decide(connection, method, url, operation, credential, true)
    }

    /// See `Grants::authorize_tersely`.
    pub fn authorize_tersely(
        self,
        method: &str,
        url: &str,
        operation: Option<&[Rule]>,
        credential: Option<&str>,
    ) -> Result<AuthorizedRequest, Denial> {
        self.decide("", method, url, operation, credential, false)
    }

    fn decide(
        self,
        connection: &str,
        method: &str,
        url: &str,
        operation: Option<&[Rule]>,
        credential: Option<&str>,
        explained: bool,
    ) -> Result<AuthorizedRequest, Denial> {
        let method = Method::parse(method).map_err(|_| {
            // Whole or not at all: whoever masks what it may hold knows no half of it.
            DenialReason::Method(match method.len() <= crate::limits::METHOD_BYTES_MAX {
                true => method.to_owned(),
                false => format!("({} bytes)", method.len()),
            })
        })?;
        let url = CanonicalUrl::parse(url).map_err(DenialReason::Url)?;
        let path = RequestPath::read(url.path())
            .map_err(|why| DenialReason::Path { path: url.path().to_owned(), why })?;
        if let Some(name) = url.query().and_then(query_name::naming_a_method) {
            return Err(DenialReason::Query(name.to_owned()).into());
        }
        let request = Request { method: &method, url: &url, path: &path, explained };

        let (approved, named) = self.approved(request)?;
        let excluded =
            self.grants.boundary().excludes_request(|rule| request.passes(rule), |rule| request.may_be(rule));
        if let Some(place) = excluded {
            return Err(DenialReason::Boundary { request: request.text(), place }.into());
        }
        if operation.is_some_and(|rules| !rules.iter().any(|rule| request.passes(rule))) {
            return Err(Denial {
                reason: DenialReason::Operation(request.text()),
                remedy: request.narrowest().map(|rule| remedy::for_operation(&rule)),
            });
        }
        let operator_place = self.allowed(connection, request)?;
        let slot = choose(&approved.attributes.credentials, credential)?;
        Ok(AuthorizedRequest {
            manifest_place: approved.place.clone(),
            manifest_rule: approved.rule.to_string(),
            operator_place: operator_place.to_owned(),
            credential: slot.map(str::to_owned),
            attributes: approved.attributes.clone(),
            named,
            method,
            url,
        })
    }

    /// The first approved rule that matches, and whether it is one over a URL that was named; rules that overlap agree, so
    /// that the first speaks for all.
    fn approved(self, request: Request<'_>) -> Result<(&'a ManifestRule, bool), Denial> {
        let mut unnamed = None;
        for (number, from) in self.grants.from_response().iter().enumerate() {
            if request.passes(&from.rule.rule) {
                if self.named.contains(number, request.url) {
                    return Ok((&from.rule, true));
                }
                unnamed = unnamed.or(Some(from));
            }
        }
        let rules = self.grants.manifest_rules();
        let mut but_for_query = None;
        for rule in rules.iter().filter(|rule| request.passes(&rule.rule)) {
            match request.refused_query(rule) {
                None => return Ok((rule, false)),
                Some(why) => but_for_query = but_for_query.or(Some((rule, why))),
            }
        }
        if let Some((rule, why)) = but_for_query {
            return Err(DenialReason::QueryRule { place: rule.place.clone(), why }.into());
        }
        if let Some(from) = unnamed {
            return Err(self.unnamed(request, from));
        }
        let rules = rules.iter().chain(self.grants.from_response().iter().map(|from| &from.rule));
        Err(Denial {
            reason: DenialReason::Manifest {
                request: request.text(),
                nearest: request.nearest(rules.map(|rule| (rule.place.as_str(), &rule.rule))),
            },
            remedy: request.narrowest().map(|rule| remedy::for_manifest(&rule)),
        })
    }

    /// It would pass if an answer had named it.
    fn unnamed(self, request: Request<'_>, from: &FromResponse) -> Denial {
        let text = |words: &dyn Fn() -> String| if request.explained { words() } else { String::new() };
        let at = || from.at.iter().map(|at| format!("`{at}`")).collect::<Vec<_>>().join(" or ");
        Denial {
            reason: DenialReason::Unnamed {
                place: text(&|| from.rule.place.clone()).into(),
                request: request.text().into(),
                of: text(&|| from.of.to_string()).into(),
                at: text(&at).into(),
                over: request.explained && self.named.is_over(),
            },
            remedy: request.explained.then(|| remedy::for_place(from)),
        }
    }

    /// The place of the first operator rule that matches.
    fn allowed(self, connection: &str, request: Request<'_>) -> Result<&'a str, Denial> {
        let rules = match self.grants.operator_rules() {
            OperatorRules::Requested => return Ok("requested"),
            OperatorRules::Listed(rules) => rules,
        };
        let found = rules.iter().find(|(_, rule)| request.passes(rule));
        found.map(|(place, _)| place.as_str()).ok_or_else(|| Denial {
            reason: DenialReason::Operator {
                request: request.text(),
                nearest: request.nearest(rules.iter().map(|(place, rule)| (place.as_str(), rule))),
            },
            remedy: request.narrowest().map(|rule| remedy::for_operator(connection, rules, &rule)),
        })
    }
}

#[derive(Clone, Copy)]
struct Request<'a> {
    method: &'a Method,
    url: &'a CanonicalUrl,
    path: &'a RequestPath<'a>,
    /// A refusal is put into words.
    explained: bool,
}

impl Request<'_> {
    fn passes(&self, rule: &Rule) -> bool {
        rule.matches_read(self.method, self.url, self.path)
    }

    /// Whether its server may take it for one that the rule means.
    fn may_be(&self, rule: &Rule) -> bool {
        rule.has_method(self.method)
            && cover::denies_origin(rule, self.url.scheme(), self.url.port())
            && rule.host_pattern().matches(self.url.host_ref())
            && Reading::of_pattern(rule.path()).meets(&Reading::of_request(self.path))
    }

    /// Why the rule's `query` does not let this one pass.
    fn refused_query(&self, rule: &ManifestRule) -> Option<String> {
        rule.attributes.query.as_ref()?.refuses(self.url.query()?)
    }

    /// What a person is shown: no query, which may hold personal data.
    fn text(&self) -> String {
        if !self.explained {
            return self.method.to_string();
        }
        format!("{} {}", self.method, self.url.without_query())
    }

    fn nearest<'b>(&self, rules: impl Iterator<Item = (&'b str, &'b Rule)>) -> Option<String> {
        self.explained.then(|| nearest(rules, self.method, self.url))?
    }

    /// The narrowest rule that lets this request pass, if what is printed of it is read back as such.
    fn narrowest(&self) -> Option<Rule> {
        if !self.explained {
            return None;
        }
        let rule = Rule::of(self.method, self.url, self.path)?.to_string().parse().ok()?;
        self.passes(&rule).then_some(rule)
    }
}

/// The slot that the request uses. A guest may name only what the rule lists.
fn choose<'a>(slots: &'a [String], named: Option<&str>) -> Result<Option<&'a str>, DenialReason> {
    let listed = || slots.iter().map(|slot| format!("`{slot}`")).collect::<Vec<_>>().join(", ");
    match (slots, named) {
        ([], None) => Ok(None),
        ([only], None) => Ok(Some(only)),
        ([], Some(named)) => Err(DenialReason::Credential(format!(
            "the guest named the credential `{}`, but the rule has none",
            named.escape_debug()
        ))),
        (_, Some(named)) => match slots.iter().find(|slot| slot.as_str() == named) {
            Some(slot) => Ok(Some(slot)),
            None => Err(DenialReason::Credential(format!(
                "the guest named the credential `{}`, but the rule has {}",
                named.escape_debug(),
                listed()
            ))),
        },
        (_, None) => {
            Err(DenialReason::Credential(format!("the guest must name one of the credentials {}", listed())))
        }
    }
}

#[cfg(test)]
mod tests;
