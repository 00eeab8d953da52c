// SPDX-License-Identifier: MIT OR Apache-2.0
//! The API's description (`OpenAPI` 3.1), made from the handlers and the types themselves.

use std::sync::OnceLock;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::api;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "slamboot",
        description = "What a slamboot server does, and what can be done about it. Reading needs nothing; \
                       everything else needs the server's token. Answers that are no success are a JSON \
                       object with `error` and often `help`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        api::status, api::transfers, api::transfer, api::start, api::hold, api::release, api::clients,
        api::client, api::drop_client, api::events, api::history, api::session, api::images,
        api::assignments, api::put_assignment, api::delete_assignment,
    ),
    tags(
        (name = "seeing", description = "What is"),
        (name = "doing", description = "What can be done, with the token"),
    ),
    modifiers(&Bearer),
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "The text in the file that `slamboot serve` names at its start",
            ))
            .build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// `openapi.json`
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let description = Description::openapi();
        // Texts, lists and maps always have a JSON form.
        description.to_pretty_json().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_says_what_it_needs() {
        let document: serde_json::Value = serde_json::from_str(document()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 15);
        for (path, methods) in paths {
            for (method, described) in methods.as_object().unwrap() {
                let guarded = described.get("security").is_some();
                assert_eq!(guarded, method != "get", "{method} {path}");
                let says = |status: &str| described["responses"].get(status).is_some();
                assert_eq!((says("401"), says("403")), (guarded, guarded), "{path}");
            }
        }
    }
}
