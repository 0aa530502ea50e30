//! The keys of `#[smart_async(…)]`: their names and their parsing.
//!
//! Every key keeps its tokens beside its value, so that an error can point at them. `value` reads single values, `slot` those of
//! `state` and `pointer`, and `combinations` checks the keys against each other. `tool_fn` checks them against the annotated
//! function, such as `blocking` on an `async fn`.

mod combinations;
mod slot;
mod spelling;
mod value;

use std::time::Duration;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::Path;

use self::spelling::{all_keys, hint};
use crate::errors::Errors;

/// The checked keys of one attribute.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) timeout_env: Option<Keyed<String>>,
    pub(crate) default: Option<Keyed<Duration>>,
    pub(crate) deadline: Option<Keyed<Duration>>,
    pub(crate) blocking: Option<Keyed<()>>,
    pub(crate) stall: Option<Keyed<Duration>>,
    pub(crate) always_job: Option<Keyed<()>>,
    pub(crate) max_concurrent: Option<Keyed<u32>>,
    pub(crate) priority: Option<Keyed<u8>>,
    pub(crate) task_required: Option<Keyed<()>>,
    pub(crate) coalesce: Option<Keyed<()>>,
    pub(crate) repeatable: Option<Keyed<()>>,
    pub(crate) restart: Option<Keyed<Restart>>,
    pub(crate) max_reruns: Option<Keyed<u32>>,
    pub(crate) idempotent: Option<Keyed<Duration>>,
    pub(crate) on_disconnect: Option<Keyed<OnDisconnect>>,
    pub(crate) on_cancel: Option<Keyed<OnCancel>>,
    pub(crate) redact: Option<Keyed<()>>,
    pub(crate) store_result: Option<Keyed<bool>>,
    pub(crate) state: Option<Keyed<String>>,
    pub(crate) pointer: Option<Keyed<String>>,
    pub(crate) root: Option<Keyed<Path>>,
}

/// A value with its key and the tokens that it was read from.
pub(crate) struct Keyed<T> {
    pub(crate) key: Ident,
    pub(crate) value: T,
    pub(crate) tokens: TokenStream,
}

/// The rule for a job whose server ended before the job did.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Restart {
    Fail,
    Rerun,
}

/// The rule for work whose caller's connection is lost.
#[derive(Clone, Copy)]
pub(crate) enum OnDisconnect {
    Keep,
    Cancel,
}

/// The rule for work whose caller cancels the request.
#[derive(Clone, Copy)]
pub(crate) enum OnCancel {
    Auto,
    Keep,
    Cancel,
}

/// A known key. Two spellings may name the same one.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    TimeoutEnv,
    Default,
    Deadline,
    Blocking,
    Stall,
    AlwaysJob,
    MaxConcurrent,
    Priority,
    TaskRequired,
    Coalesce,
    Repeatable,
    Restart,
    MaxReruns,
    Idempotent,
    OnDisconnect,
    OnCancel,
    Redact,
    StoreResult,
    State,
    Pointer,
    Crate,
}

/// Every spelling of every key with an example of its use, in the order of error messages.
const KEYS: [(&str, Key, &str); 22] = [
    ("timeout_env", Key::TimeoutEnv, "timeout_env = \"SIMULATE_TIMEOUT\""),
    ("default", Key::Default, "default = 20"),
    ("default_timeout", Key::Default, "default_timeout = 20"),
    ("deadline", Key::Deadline, "deadline = \"10m\""),
    ("stall", Key::Stall, "stall = \"2m\""),
    ("blocking", Key::Blocking, "blocking"),
    ("always_job", Key::AlwaysJob, "always_job"),
    ("max_concurrent", Key::MaxConcurrent, "max_concurrent = 2"),
    ("priority", Key::Priority, "priority = 8"),
    ("task_required", Key::TaskRequired, "task_required"),
    ("coalesce", Key::Coalesce, "coalesce"),
    ("repeatable", Key::Repeatable, "repeatable"),
    ("restart", Key::Restart, "restart = \"rerun\""),
    ("max_reruns", Key::MaxReruns, "max_reruns = 3"),
    ("idempotent", Key::Idempotent, "idempotent = \"24h\""),
    ("on_disconnect", Key::OnDisconnect, "on_disconnect = \"cancel\""),
    ("on_cancel", Key::OnCancel, "on_cancel = \"keep\""),
    ("redact", Key::Redact, "redact"),
    ("store_result", Key::StoreResult, "store_result = false"),
    ("state", Key::State, "state = \"latest_report\""),
    ("pointer", Key::Pointer, "pointer = \"/report/days\""),
    ("crate", Key::Crate, "crate = my_crate::smart_async"),
];

impl Args {
    /// Reads the keys. Invalid ones are left out and reported in `errors`.
    pub(crate) fn parse(attribute: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let mut seen: Vec<(Key, Ident)> = Vec::new();
        for entry in split_at_commas(attribute, errors) {
            let Some(entry) = KeyEntry::read(entry, errors) else { continue };
            if let Some((_, earlier)) = seen.iter().find(|(key, _)| *key == entry.key) {
                entry.refuse_second(earlier, errors);
            } else {
                seen.push((entry.key, entry.name.clone()));
                args.take(entry, errors);
            }
        }
        args.check_combinations(&seen, errors);
        args
    }

    fn take(&mut self, entry: KeyEntry, errors: &mut Errors) {
        match entry.key {
            Key::TimeoutEnv => entry.fill(&mut self.timeout_env, errors, KeyEntry::variable_name),
            Key::Default => entry.fill(&mut self.default, errors, KeyEntry::duration),
            Key::Deadline => entry.fill(&mut self.deadline, errors, KeyEntry::duration),
            Key::Stall => entry.fill(&mut self.stall, errors, KeyEntry::duration),
            Key::Blocking => entry.set(&mut self.blocking, errors),
            Key::AlwaysJob => entry.set(&mut self.always_job, errors),
            Key::MaxConcurrent => {
                entry.fill(&mut self.max_concurrent, errors, KeyEntry::positive_number);
            }
            Key::Priority => entry.fill(&mut self.priority, errors, KeyEntry::priority),
            Key::TaskRequired => entry.set(&mut self.task_required, errors),
            Key::Coalesce => entry.set(&mut self.coalesce, errors),
            Key::Repeatable => entry.set(&mut self.repeatable, errors),
            Key::Restart => entry.fill(&mut self.restart, errors, KeyEntry::restart),
            Key::MaxReruns => entry.fill(&mut self.max_reruns, errors, KeyEntry::positive_number),
            Key::Idempotent => entry.fill(&mut self.idempotent, errors, KeyEntry::duration),
            Key::OnDisconnect => {
                entry.fill(&mut self.on_disconnect, errors, KeyEntry::on_disconnect);
            }
            Key::OnCancel => entry.fill(&mut self.on_cancel, errors, KeyEntry::on_cancel),
            Key::Redact => entry.set(&mut self.redact, errors),
            Key::StoreResult => entry.fill(&mut self.store_result, errors, KeyEntry::yes_or_no),
            Key::State => entry.fill(&mut self.state, errors, KeyEntry::state_name),
            Key::Pointer => entry.fill(&mut self.pointer, errors, KeyEntry::pointer),
            Key::Crate => entry.fill(&mut self.root, errors, KeyEntry::path),
        }
    }

    /// Returns whether the call is made again after the end of its server.
    pub(crate) fn reruns(&self) -> bool {
        self.restart.as_ref().is_some_and(|restart| restart.value == Restart::Rerun)
    }
}

/// A known key as the author wrote it, with its unread value.
struct KeyEntry {
    name: Ident,
    key: Key,
    example: &'static str,
    /// Everything after the key.
    rest: TokenStream,
}

impl KeyEntry {
    fn read(tokens: TokenStream, errors: &mut Errors) -> Option<Self> {
        let mut iter = tokens.clone().into_iter();
        let Some(TokenTree::Ident(name)) = iter.next() else {
            errors.at(
                tokens,
                format!("expected a key, such as `default = 20`; the keys are {}", all_keys()),
            );
            return None;
        };
        let spelled = name.to_string();
        match KEYS.iter().find(|(known, ..)| *known == spelled) {
            Some(&(_, key, example)) => Some(Self { name, key, example, rest: iter.collect() }),
            None => {
                // A key with hyphens is several tokens.
                let is_in_key = |token: &TokenTree| match token {
                    TokenTree::Punct(hyphen) => hyphen.as_char() == '-',
                    token => matches!(token, TokenTree::Ident(_)),
                };
                let key: TokenStream = tokens.into_iter().take_while(is_in_key).collect();
                let spelled = key.to_string().replace(' ', "");
                let hint = hint(&spelled);
                errors.at(&key, format!("unknown key `{spelled}`{hint} keys are {}", all_keys()));
                None
            }
        }
    }

    /// Sets a flag.
    ///
    /// A flag written with a value is reported and set all the same, so that one mistake makes one error.
    fn set(self, place: &mut Option<Keyed<()>>, errors: &mut Errors) {
        if !self.rest.is_empty() {
            let name = &self.name;
            errors.at(
                &self.rest,
                format!(
                    "`{name}` takes no value; write `{name}` alone, or leave it out to say the opposite"
                ),
            );
        }
        *place = Some(Keyed { key: self.name, value: (), tokens: TokenStream::new() });
    }

    /// Reads a value with `read` and stores it in `place`.
    fn fill<T>(
        self,
        place: &mut Option<Keyed<T>>,
        errors: &mut Errors,
        read: impl FnOnce(&Self, &TokenStream, &mut Errors) -> Option<T>,
    ) {
        let mut iter = self.rest.clone().into_iter();
        let tokens: TokenStream = match iter.next() {
            Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => iter.collect(),
            _ => TokenStream::new(),
        };
        if tokens.is_empty() {
            let found = &self.rest;
            let at = if found.is_empty() { self.name.to_token_stream() } else { found.clone() };
            errors.at(at, format!("`{}` needs a value, as in `{}`", self.name, self.example));
            return;
        }
        if let Some(value) = read(&self, &tokens, errors) {
            *place = Some(Keyed { key: self.name, value, tokens });
        }
    }

    fn refuse_second(&self, earlier: &Ident, errors: &mut Errors) {
        let name = &self.name;
        let message = if name == earlier {
            format!("`{name}` is given twice; remove one of the two")
        } else {
            format!(
                "`{name}` is given already: it is another spelling of `{earlier}`; remove one of the two"
            )
        };
        errors.at(name, message);
    }
}

/// Splits at top-level commas; a trailing comma is allowed.
///
/// The caller reads each entry by itself, so that a mistake in one does not hide those in the others.
fn split_at_commas(tokens: TokenStream, errors: &mut Errors) -> Vec<TokenStream> {
    let mut entries = Vec::new();
    let mut entry = TokenStream::new();
    for token in tokens {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                if entry.is_empty() {
                    errors.at(comma, "expected a key before this comma; remove the comma");
                } else {
                    entries.push(std::mem::take(&mut entry));
                }
            }
            // A fragment of a `macro_rules!` macro arrives in invisible delimiters; the key is inside.
            TokenTree::Group(group) if entry.is_empty() && group.delimiter() == Delimiter::None => {
                entry = group.stream();
            }
            token => entry.extend(quote!(#token)),
        }
    }
    if !entry.is_empty() {
        entries.push(entry);
    }
    entries
}
