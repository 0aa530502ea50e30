//! Checks between keys: one without effect beside another, one that contradicts another, one that needs another.
//!
//! A key with an invalid value counts as given, so that one mistake makes one error.

use proc_macro2::Ident;

use super::{Args, Key};
use crate::errors::Errors;

impl Args {
    pub(super) fn check_combinations(&self, given: &[(Key, Ident)], errors: &mut Errors) {
        self.check_times(errors);
        self.check_reruns(given, errors);
        self.check_what_is_kept(errors);
        self.check_sharing(errors);
        self.check_keys(errors);
        self.check_state(given, errors);
    }

    fn check_times(&self, errors: &mut Errors) {
        if self.always_job.is_some() {
            let useless = [
                self.default.as_ref().map(|default| &default.key),
                self.timeout_env.as_ref().map(|timeout_env| &timeout_env.key),
            ];
            for key in useless.into_iter().flatten() {
                errors.at(
                    key,
                    format!(
                        "`{key}` does nothing beside `always_job`: every call becomes a job at once, so there is no \
                         time to set; remove one of the two"
                    ),
                );
            }
        }
        if let (Some(default), Some(deadline)) = (&self.default, &self.deadline)
            && deadline.value <= default.value
        {
            errors.at(
                &deadline.tokens,
                format!(
                    "`deadline` is no longer than `{}`, so a call would end before it could become a job; give a \
                     longer `deadline` or a shorter `{}`",
                    default.key, default.key
                ),
            );
        }
    }

    fn check_reruns(&self, given: &[(Key, Ident)], errors: &mut Errors) {
        let Some(max_reruns) = &self.max_reruns else { return };
        if self.restart.is_some() && !self.reruns() {
            errors.at(
                &max_reruns.key,
                "`max_reruns` does nothing beside `restart = \"fail\"`: nothing runs again; remove it, or say \
                 `restart = \"rerun\"`",
            );
        } else if !is_given(given, Key::Restart) {
            errors.at(
                &max_reruns.key,
                "`max_reruns` does nothing without `restart = \"rerun\"`: unless that is said, nothing runs again; say \
                 it too, or remove `max_reruns`",
            );
        }
    }

    fn check_sharing(&self, errors: &mut Errors) {
        if let (Some(repeatable), Some(_)) = (&self.repeatable, &self.coalesce) {
            errors.at(
                &repeatable.key,
                "`repeatable` gives equal calls runs of their own, and `coalesce` one run together; remove one of the two",
            );
        }
    }

    fn check_keys(&self, errors: &mut Errors) {
        let Some(idempotent) = &self.idempotent else { return };
        if self.redact.is_some() {
            errors.at(
                &idempotent.key,
                "`idempotent` keeps answers on disk, and `redact` keeps them out of the store; remove one of the two",
            );
        }
        if self.store_result.as_ref().is_some_and(|store_result| !store_result.value) {
            errors.at(
                &idempotent.key,
                "`idempotent` keeps answers on disk, and `store_result = false` keeps them out of the store; remove one of \
                 the two",
            );
        }
    }

    fn check_what_is_kept(&self, errors: &mut Errors) {
        let Some(redact) = &self.redact else { return };
        if self.reruns() {
            errors.at(
                &redact.key,
                "`redact` keeps what the call was given out of the store, and `restart = \"rerun\"` keeps the arguments \
                 on disk to make the call again from them; remove one of the two",
            );
        }
        match &self.store_result {
            Some(store_result) if store_result.value => errors.at(
                &store_result.key,
                "`redact` keeps the result out of the store, and `store_result = true` says to keep it; remove one of \
                 the two",
            ),
            Some(store_result) => errors.at(&store_result.key, "`redact` says that already; remove one of the two"),
            None => {}
        }
    }

    fn check_state(&self, given: &[(Key, Ident)], errors: &mut Errors) {
        if let Some(pointer) = &self.pointer
            && !is_given(given, Key::State)
        {
            errors.at(
                &pointer.key,
                "`pointer` does nothing without `state`: it says which part of the result is kept there; say \
                 `state = \"latest_report\"` too, or remove `pointer`",
            );
        }
        let Some(state) = &self.state else { return };
        if self.redact.is_some() {
            errors.at(
                &state.key,
                "`state` puts the result on disk, and `redact` keeps it out of the store; remove one of the two",
            );
        }
        if self.store_result.as_ref().is_some_and(|store_result| !store_result.value) {
            errors.at(
                &state.key,
                "`state` puts the result on disk, and `store_result = false` keeps it out of the store; remove one of \
                 the two",
            );
        }
    }
}

fn is_given(given: &[(Key, Ident)], key: Key) -> bool {
    given.iter().any(|(each, _)| *each == key)
}
