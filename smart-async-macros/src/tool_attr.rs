//! Reads and extends rmcp's `#[tool(…)]`, the attribute below `#[smart_async]`.
//!
//! All of the author's arguments stay in their order. rmcp reports those that cannot be parsed.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, ExprLit, GenericArgument, Lit, LitStr, MacroDelimiter, Meta, MetaList,
    MetaNameValue, Path, PathArguments, PathSegment, Token, Type, parse_quote, token,
};

/// A `#[tool]` attribute with its arguments.
pub(crate) struct ToolAttr {
    attribute: Attribute,
    /// `None` if they cannot be parsed.
    arguments: Option<Punctuated<Meta, Token![,]>>,
}

impl ToolAttr {
    /// Returns whether rmcp's router takes this attribute for `#[tool]`, which it recognizes by the last segment of the path.
    pub(crate) fn is_tool(path: &Path) -> bool {
        path.segments.last().is_some_and(|segment| segment.ident == "tool")
    }

    pub(crate) fn read(attribute: &Attribute) -> Self {
        let arguments = match &attribute.meta {
            Meta::Path(_) => Some(Punctuated::new()),
            Meta::List(list) => Punctuated::parse_terminated.parse2(list.tokens.clone()).ok(),
            Meta::NameValue(_) => None,
        };
        Self { attribute: attribute.clone(), arguments }
    }

    /// The tool's name, if the author gave it as a literal.
    pub(crate) fn name(&self) -> Option<String> {
        self.values("name").find_map(text).map(|name| name.value())
    }

    /// The argument `local`, which keeps the future on one thread.
    pub(crate) fn local(&self) -> Option<&Meta> {
        self.arguments().find(|argument| {
            argument.path().is_ident("local")
                && match argument {
                    Meta::Path(_) | Meta::List(_) => true,
                    Meta::NameValue(local) => !is_false(&local.value),
                }
        })
    }

    /// The attribute with the widened output schema and the marker of annotated tools, or of those whose calls may be made again, and
    /// the mark of those whose callers may give keys.
    pub(crate) fn extended(
        &self,
        private: &TokenStream,
        output: &Type,
        reruns: bool,
        keeps_keys: bool,
    ) -> Attribute {
        let Some(mut arguments) = self.arguments.clone() else { return self.attribute.clone() };
        if !wrap_value(&mut arguments, "output_schema", &quote!(#private::widened_schema))
            && let Some(shape) = shape_of(output)
        {
            arguments.push(parse_quote!(output_schema = #private::output_schema::<#shape>()));
        }
        let (marked, marker) = if reruns {
            (quote!(#private::rerun_marked), quote!(#private::rerun_marker))
        } else {
            (quote!(#private::marked), quote!(#private::marker))
        };
        if !wrap_value(&mut arguments, "meta", &marked) {
            arguments.push(parse_quote!(meta = #marker()));
        }
        if keeps_keys {
            wrap_value(&mut arguments, "meta", &quote!(#private::idempotent_marked));
        }
        self.with_arguments(&arguments)
    }

    /// The attribute without `local`, which was reported already.
    pub(crate) fn without_local(&self) -> Attribute {
        let Some(arguments) = &self.arguments else { return self.attribute.clone() };
        let kept = arguments.iter().filter(|argument| !argument.path().is_ident("local")).cloned();
        self.with_arguments(&kept.collect())
    }

    fn with_arguments(&self, arguments: &Punctuated<Meta, Token![,]>) -> Attribute {
        let mut attribute = self.attribute.clone();
        let tokens = arguments.to_token_stream();
        match &mut attribute.meta {
            Meta::List(list) => list.tokens = tokens,
            Meta::Path(path) => {
                let delimiter = MacroDelimiter::Paren(token::Paren::default());
                attribute.meta = Meta::List(MetaList { path: path.clone(), delimiter, tokens });
            }
            Meta::NameValue(_) => {}
        }
        attribute
    }

    fn arguments(&self) -> impl Iterator<Item = &Meta> {
        self.arguments.iter().flatten()
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Expr> {
        self.arguments().filter_map(move |argument| match argument {
            Meta::NameValue(MetaNameValue { path, value, .. }) if path.is_ident(key) => Some(value),
            _ => None,
        })
    }
}

/// Puts a call of `function` around the value of `key`. Returns whether the key is there.
fn wrap_value(
    arguments: &mut Punctuated<Meta, Token![,]>,
    key: &str,
    function: &TokenStream,
) -> bool {
    let mut is_there = false;
    for argument in arguments.iter_mut().filter(|argument| argument.path().is_ident(key)) {
        is_there = true;
        if let Meta::NameValue(MetaNameValue { value, .. }) = argument {
            // rmcp parses a string here as an expression.
            let expression = match text(value).map(LitStr::parse::<Expr>) {
                Some(Ok(quoted)) => quoted,
                Some(Err(_)) => continue,
                None => value.clone(),
            };
            *value = parse_quote!(#function(#expression));
        }
    }
    is_there
}

fn text(value: &Expr) -> Option<&LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
        Expr::Group(group) => text(&group.expr),
        _ => None,
    }
}

fn is_false(value: &Expr) -> bool {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => !flag.value,
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.value() == "false",
        Expr::Group(group) => is_false(&group.expr),
        _ => false,
    }
}

/// The `T` of a literal `Json<T>` or `Result<Json<T>, …>`, unless its JSON is certainly no object.
///
/// rmcp derives a schema by the same rule. An output schema must describe an object.
fn shape_of(output: &Type) -> Option<&Type> {
    let segment = last_segment(output)?;
    let shape = if segment.ident == "Result" {
        json_inner(last_segment(first_type_argument(segment)?)?)?
    } else {
        json_inner(segment)?
    };
    (!is_plainly_no_object(shape)).then_some(shape)
}

fn json_inner(segment: &PathSegment) -> Option<&Type> {
    if segment.ident == "Json" { first_type_argument(segment) } else { None }
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

fn first_type_argument(segment: &PathSegment) -> Option<&Type> {
    match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        _ => None,
    }
}

fn is_plainly_no_object(ty: &Type) -> bool {
    const NO_OBJECTS: [&str; 26] = [
        "Vec",
        "VecDeque",
        "LinkedList",
        "BinaryHeap",
        "HashSet",
        "BTreeSet",
        "Option",
        "String",
        "str",
        "bool",
        "char",
        "u8",
        "u16",
        "u32",
        "u64",
        "u128",
        "usize",
        "i8",
        "i16",
        "i32",
        "i64",
        "i128",
        "isize",
        "f32",
        "f64",
        "PathBuf",
    ];
    const TRANSPARENT: [&str; 4] = ["Box", "Arc", "Rc", "Cow"];
    match ty {
        Type::Array(_) | Type::Slice(_) | Type::Tuple(_) => true,
        Type::Reference(reference) => is_plainly_no_object(&reference.elem),
        Type::Group(group) => is_plainly_no_object(&group.elem),
        Type::Paren(paren) => is_plainly_no_object(&paren.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|segment| {
            let name = segment.ident.to_string();
            NO_OBJECTS.contains(&name.as_str())
                || TRANSPARENT.contains(&name.as_str())
                    && inner_types(segment).any(is_plainly_no_object)
        }),
        _ => false,
    }
}

fn inner_types(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}
