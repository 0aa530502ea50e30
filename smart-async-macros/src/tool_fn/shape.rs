//! Checks of the signature: qualifiers, receiver, `async`, and the place of `#[tool]`.
//!
//! Checks that return a `bool` return whether `#[tool]` would report the same function. Borrows are in `borrows`.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, GenericArgument, Meta, Path, PathArguments, Receiver, ReceiverKind, ReturnType,
    Safety, Signature, Token, TraitBound, Type, TypeParamBound,
};

use crate::args::Args;
use crate::errors::Errors;
use crate::tool_attr::ToolAttr;

pub(super) const STANDS_BELOW_TOOL: &str = "`#[smart_async]` must stand above `#[tool]`: it has \
    to see that attribute and extend it; swap the two lines";

pub(super) const NO_BODY: &str = "there is no body that `#[smart_async]` could run, as in the \
    definition of a `trait`; put the attribute on a method with a body in an inherent `impl`, and call that method from the \
    `impl` of the trait";

/// Returns whether `#[tool]` was expanded first: the signature is the one that it generates for an `async fn`.
pub(super) fn stands_below_tool(signature: &Signature) -> bool {
    let ReturnType::Type(_, output) = &signature.output else { return false };
    signature.asyncness.is_none()
        && global_path(output, &["std", "pin", "Pin"])
            .and_then(only_type)
            .and_then(|boxed| type_path(boxed))
            .and_then(only_type)
            .is_some_and(|future| match future {
                Type::TraitObject(object) => object.bounds.iter().any(|bound| match bound {
                    TypeParamBound::Trait(TraitBound { path, .. }) => {
                        is_global(path, &["std", "future", "Future"])
                    }
                    _ => false,
                }),
                _ => false,
            })
}

fn type_path(ty: &Type) -> Option<&Path> {
    match ty {
        Type::Path(path) => Some(&path.path),
        _ => None,
    }
}

fn global_path<'a>(ty: &'a Type, names: &[&str]) -> Option<&'a Path> {
    type_path(ty).filter(|path| is_global(path, names))
}

fn is_global(path: &Path, names: &[&str]) -> bool {
    path.leading_colon.is_some()
        && path.segments.len() == names.len()
        && path.segments.iter().zip(names).all(|(segment, name)| segment.ident == name)
}

fn only_type(path: &Path) -> Option<&Type> {
    match &path.segments.last()?.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn check_asyncness(signature: &Signature, args: &Args, errors: &mut Errors) {
    match (&signature.asyncness, &args.blocking) {
        (Some(_), Some(blocking)) => errors.at(
            &blocking.key,
            "`blocking` is for a plain `fn`, which runs on a thread of its own, and this is an `async fn`; remove \
             `blocking`, or remove `async` if the body never awaits",
        ),
        (None, None) => errors.at(
            signature.fn_token,
            "this is a plain `fn`, which would hold its thread while it works; write `async fn`, or \
             `#[smart_async(blocking)]` to run it on a thread of its own",
        ),
        _ => {}
    }
}

pub(super) fn check_qualifiers(signature: &Signature, errors: &mut Errors) -> bool {
    let Signature { constness, safety, abi, variadic, .. } = signature;
    let mut refuse = |tokens: TokenStream, what: &str, why: &str| {
        if !tokens.is_empty() {
            errors.at(tokens, format!("{what} cannot be a `#[smart_async]` function: {why}"));
        }
    };
    refuse(
        constness.to_token_stream(),
        "a `const fn`",
        "its work is done while the server runs; remove `const`",
    );
    if let Safety::Unsafe(token) = safety {
        refuse(
            token.to_token_stream(),
            "an `unsafe fn`",
            "a server calls it without keeping its conditions; make it safe and put the `unsafe` block inside",
        );
    }
    refuse(abi.to_token_stream(), "an `extern` function", "only Rust calls it; remove `extern`");
    refuse(
        variadic.to_token_stream(),
        "a variadic function",
        "its arguments cannot be moved to another task; take a `Vec`",
    );
    !matches!((constness, safety, abi, variadic), (None, Safety::Default, None, None))
}

pub(super) fn check_receiver(signature: &Signature, errors: &mut Errors) -> bool {
    let Some(receiver) = signature.receiver() else { return false };
    let reason = match &receiver.kind {
        ReceiverKind::Reference(_, _, None) => return false,
        ReceiverKind::Typed(_, ty) if is_self(ty, false) => return false,
        kind if matches!(kind, ReceiverKind::Reference(..))
            || matches!(kind, ReceiverKind::Typed(_, ty) if is_self(ty, true)) =>
        {
            "the work may outlive the call, and other calls run meanwhile, so it cannot have `&mut self`"
        }
        _ => "the server keeps itself for other calls, so a call cannot take it",
    };
    let without_attributes = Receiver { attrs: Vec::new(), ..receiver.clone() };
    errors.at(
        without_attributes,
        format!(
            "{reason}; take `&self`, of which the work gets a clone, and keep what changes behind an `Arc` with a lock"
        ),
    );
    true
}

/// Returns whether the type is `&Self`, or `&mut Self` if `is_mutable`.
fn is_self(ty: &Type, is_mutable: bool) -> bool {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() == is_mutable => {
            type_path(&reference.elem).is_some_and(|path| path.is_ident("Self"))
        }
        _ => false,
    }
}

pub(super) fn check_local(tool: &ToolAttr, errors: &mut Errors) -> bool {
    let Some(local) = tool.local() else { return false };
    errors.at(
        local,
        "`local` keeps the future on one thread, and `#[smart_async]` moves the work between threads; remove `local` \
         and make the future `Send`, or remove `#[smart_async]`",
    );
    true
}

/// Reports `restart = "rerun"`. The caller has checked that the function is no tool.
pub(super) fn check_rerun_of_no_tool(args: &Args, errors: &mut Errors) {
    if let Some(restart) = args.restart.as_ref().filter(|_| args.reruns()) {
        errors.at(
            &restart.tokens,
            "`restart = \"rerun\"` is for a tool: only a server can make the call again from its arguments, and this \
             function has no `#[tool]`; add one below, or remove `restart`",
        );
    }
}

/// Reports `task_required`. The caller has checked that the function is no tool, so no client calls it.
pub(super) fn check_task_of_no_tool(args: &Args, errors: &mut Errors) {
    if let Some(task_required) = &args.task_required {
        errors.at(
            &task_required.key,
            "`task_required` is for a tool: it refuses the calls of MCP clients that do not know tasks, and this function \
             has no `#[tool]`; add one below, or remove `task_required`",
        );
    }
}

/// Reports `coalesce` and `repeatable`. The caller has checked that the function is no tool, so the arguments of its calls are
/// unknown.
pub(super) fn check_coalescing_of_no_tool(args: &Args, errors: &mut Errors) {
    for flag in [&args.coalesce, &args.repeatable].into_iter().flatten() {
        let key = &flag.key;
        errors.at(
            key,
            format!(
                "`{key}` is for a tool: only a server sees the arguments that make two calls the same, and this function \
                 has no `#[tool]`; add one below, or remove `{key}`"
            ),
        );
    }
}

/// Reports `idempotent`. The caller has checked that the function is no tool, so no caller gives it keys.
pub(super) fn check_keys_of_no_tool(args: &Args, errors: &mut Errors) {
    if let Some(idempotent) = &args.idempotent {
        errors.at(
            &idempotent.key,
            "`idempotent` is for a tool: a caller gives the key as an argument of its call, and this function has no \
             `#[tool]`; add one below, or remove `idempotent`",
        );
    }
}

/// Reports each `#[tool]` inside a `cfg_attr`, which cannot be extended. Returns whether there is one.
pub(super) fn check_hidden_tools(attributes: &[Attribute], errors: &mut Errors) -> bool {
    let mut is_there = false;
    for attribute in attributes {
        let Meta::List(list) = &attribute.meta else { continue };
        if !list.path.is_ident("cfg_attr") {
            continue;
        }
        let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
        let Ok(metas) = parse.parse2(list.tokens.clone()) else { continue };
        // The first is the condition.
        if let Some(tool) = metas.iter().skip(1).find(|meta| ToolAttr::is_tool(meta.path())) {
            is_there = true;
            errors.at(
                tool,
                "a `#[tool]` inside `cfg_attr` cannot be seen, so it cannot be extended; write `#[tool]` plainly and \
                 put a `#[cfg]` on the function",
            );
        }
    }
    is_there
}
