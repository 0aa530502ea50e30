//! Parsing of one key's value: a duration, a number, a name, a choice, a path.
//!
//! The parent module has the list of keys.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::{Expr, ExprLit, ExprUnary, Lit, Path, UnOp};

use super::spelling::listed;
use super::{Key, KeyEntry, OnCancel, OnDisconnect, Restart};
use crate::errors::Errors;

impl KeyEntry {
    pub(super) fn duration(&self, value: &TokenStream, errors: &mut Errors) -> Option<Duration> {
        match self.read_duration(value) {
            Ok(duration) => Some(duration),
            Err(message) => {
                errors.at(value, message);
                None
            }
        }
    }

    fn read_duration(&self, value: &TokenStream) -> Result<Duration, String> {
        let name = &self.name;
        let forms = "a number of seconds (`20`, `0.5`) or text with units (`\"1m30s\"`)";
        let wrong_type = || Err(format!("`{name}` is no time; give {forms}"));
        let too_long = || {
            format!(
                "`{name}` is too long: the seconds must fit into 64 bits; give a smaller number"
            )
        };
        let duration = match literal(value) {
            Literal::Negative => {
                return Err(format!(
                    "`{name}` is negative; give a positive number of seconds, as in `{}`",
                    self.example
                ));
            }
            Literal::No => {
                return Err(format!(
                    "`{name}` must be a literal, because the attribute cannot evaluate an expression; give {forms}"
                ));
            }
            Literal::Yes(Lit::Int(seconds)) if seconds.suffix().is_empty() => {
                Duration::from_secs(seconds.base10_parse::<u64>().map_err(|_error| too_long())?)
            }
            Literal::Yes(Lit::Float(seconds)) if seconds.suffix().is_empty() => {
                let seconds = seconds.base10_parse::<f64>().map_err(|_error| too_long())?;
                Duration::try_from_secs_f64(seconds).map_err(|_error| too_long())?
            }
            Literal::Yes(Lit::Int(number)) => {
                return self.suffixed(number.base10_digits(), number.suffix(), forms);
            }
            Literal::Yes(Lit::Float(number)) => {
                return self.suffixed(number.base10_digits(), number.suffix(), forms);
            }
            Literal::Yes(Lit::Str(text)) => {
                let text = text.value();
                let number = text.trim();
                humantime::parse_duration(&text).map_err(|reason| match number.parse::<f64>() {
                    Ok(seconds) if seconds > 0.0 && seconds.is_finite() => format!(
                        "`{name}` is text without a unit; write seconds as a number, `{name} = {number}`, or with \
                         the unit, `{name} = \"{number}s\"`"
                    ),
                    _ => format!("`{name}` is no time that can be read ({reason}); give {forms}"),
                })?
            }
            Literal::Yes(_) => return wrong_type(),
        };
        if duration.is_zero() {
            return Err(match self.key {
                Key::Deadline | Key::Stall => format!(
                    "`{name}` is 0, so every call would fail at once; give a positive number of seconds, or leave \
                     the key out for no limit"
                ),
                Key::Idempotent => format!(
                    "`{name}` is 0, so no answer would be kept; give the time for which one is kept, as in `{}`",
                    self.example
                ),
                _ => format!(
                    "`{name}` is 0, so every call would become a job; give a positive number of seconds, or say \
                     `always_job`"
                ),
            });
        }
        Ok(duration)
    }

    fn suffixed(&self, digits: &str, suffix: &str, forms: &str) -> Result<Duration, String> {
        let name = &self.name;
        let hint = match humantime::parse_duration(&format!("{digits}{suffix}")) {
            Ok(_) => format!("put it in quotes: `{name} = \"{digits}{suffix}\"`"),
            Err(_) => format!("give {forms}"),
        };
        Err(format!("`{name}` has the suffix `{suffix}`, which has no meaning here; {hint}"))
    }

    pub(super) fn variable_name(&self, value: &TokenStream, errors: &mut Errors) -> Option<String> {
        let name = self.string(value, errors)?;
        let problem = if name.is_empty() {
            "is empty"
        } else if name.starts_with(|first: char| first.is_ascii_digit()) {
            "starts with a digit"
        } else if name.chars().any(|each| !each.is_ascii_alphanumeric() && each != '_') {
            "has a character that not every system allows there"
        } else {
            return Some(name);
        };
        errors.at(
            value,
            format!(
                "the name of the environment variable {problem}; use letters, digits and `_`, with no digit in \
                 front, as in `{}`",
                self.example
            ),
        );
        None
    }

    pub(super) fn positive_number(&self, value: &TokenStream, errors: &mut Errors) -> Option<u32> {
        let name = &self.name;
        let number = match literal(value) {
            Literal::Yes(Lit::Int(number)) if number.suffix().is_empty() => {
                number.base10_parse::<u32>().ok()
            }
            _ => None,
        };
        let message = match number {
            Some(0) if self.key == Key::MaxConcurrent => {
                format!(
                    "`{name}` is 0, so nothing would ever run; give the number of runs at a time"
                )
            }
            Some(0) => {
                format!(
                    "`{name}` is 0, so nothing would run again; say `restart = \"fail\"` and remove `{name}`"
                )
            }
            Some(number) => return Some(number),
            None => format!(
                "`{name}` must be a whole number from 1 to {}, as in `{}`",
                u32::MAX,
                self.example
            ),
        };
        errors.at(value, message);
        None
    }

    pub(super) fn priority(&self, value: &TokenStream, errors: &mut Errors) -> Option<u8> {
        let number = match literal(value) {
            Literal::Yes(Lit::Int(number)) if number.suffix().is_empty() => {
                number.base10_parse::<u8>().ok().filter(|number| (1..=10).contains(number))
            }
            _ => None,
        };
        if number.is_none() {
            let message = format!(
                "`{}` must be a whole number from 1 to 10, of which 10 goes first, as in `{}`",
                self.name, self.example
            );
            errors.at(value, message);
        }
        number
    }

    pub(super) fn yes_or_no(&self, value: &TokenStream, errors: &mut Errors) -> Option<bool> {
        if let Literal::Yes(Lit::Bool(flag)) = literal(value) {
            return Some(flag.value);
        }
        errors.at(
            value,
            format!("`{}` must be `true` or `false`, as in `{}`", self.name, self.example),
        );
        None
    }

    pub(super) fn restart(&self, value: &TokenStream, errors: &mut Errors) -> Option<Restart> {
        let choices = [("fail", Restart::Fail), ("rerun", Restart::Rerun)];
        self.choice(value, &choices, errors)
    }

    pub(super) fn on_disconnect(
        &self,
        value: &TokenStream,
        errors: &mut Errors,
    ) -> Option<OnDisconnect> {
        let choices = [("keep", OnDisconnect::Keep), ("cancel", OnDisconnect::Cancel)];
        self.choice(value, &choices, errors)
    }

    pub(super) fn on_cancel(&self, value: &TokenStream, errors: &mut Errors) -> Option<OnCancel> {
        let choices =
            [("auto", OnCancel::Auto), ("keep", OnCancel::Keep), ("cancel", OnCancel::Cancel)];
        self.choice(value, &choices, errors)
    }

    fn choice<T: Copy>(
        &self,
        value: &TokenStream,
        choices: &[(&str, T)],
        errors: &mut Errors,
    ) -> Option<T> {
        let text = self.string(value, errors)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let allowed: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            errors.at(
                value,
                format!(
                    "`{}` is \"{text}\", which is no choice; allowed are {}",
                    self.name,
                    listed(&allowed, "and")
                ),
            );
        }
        found
    }

    pub(super) fn string(&self, value: &TokenStream, errors: &mut Errors) -> Option<String> {
        if let Literal::Yes(Lit::Str(text)) = literal(value) {
            return Some(text.value());
        }
        errors
            .at(value, format!("`{}` must be text in quotes, as in `{}`", self.name, self.example));
        None
    }

    pub(super) fn path(&self, value: &TokenStream, errors: &mut Errors) -> Option<Path> {
        match Path::parse_mod_style.parse2(value.clone()) {
            Ok(path) => Some(path),
            Err(_) => {
                errors.at(
                    value,
                    format!(
                        "`{}` must be the path of the `smart_async` crate, without quotes, as in `{}`",
                        self.name, self.example
                    ),
                );
                None
            }
        }
    }
}

enum Literal {
    Yes(Lit),
    Negative,
    No,
}

/// Reads a literal, with or without the invisible delimiters of a `macro_rules!` fragment.
fn literal(value: &TokenStream) -> Literal {
    fn from_expression(expression: Expr) -> Literal {
        match expression {
            Expr::Lit(ExprLit { lit, .. }) => Literal::Yes(lit),
            Expr::Group(group) => from_expression(*group.expr),
            Expr::Paren(paren) => from_expression(*paren.expr),
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match from_expression(*expr) {
                Literal::Yes(Lit::Int(_) | Lit::Float(_)) => Literal::Negative,
                _ => Literal::No,
            },
            _ => Literal::No,
        }
    }
    syn::parse2::<Expr>(value.clone()).map_or(Literal::No, from_expression)
}
