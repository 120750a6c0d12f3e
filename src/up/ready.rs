//! What is printed when everything is there: for a person, or as one line of JSON for scripts.

use std::path::Path;

use serde::Serialize;

use super::{
    offers::{Offer, offers},
    sample::Start,
};

/// How long the printed token is valid.
pub const TOKEN_DAYS: u32 = 30;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    pub graphql: String,
    pub graphql_ws: String,
    pub api: String,
    pub openapi: String,
    pub metrics: String,
    pub health: String,
    pub token: String,
    pub data: String,
    /// For people alone.
    #[serde(skip)]
    offers: Vec<Offer>,
}

impl Ready {
    pub fn of_one_process(origin: &str, token: String, data: &Path) -> Self {
        Self::of(origin, origin, token, data)
    }

    /// `api` serves commands, `query` GraphQL.
    pub fn of(api: &str, query: &str, token: String, data: &Path) -> Self {
        Self {
            graphql: format!("{query}/graphql"),
            graphql_ws: format!("{}/graphql/ws", query.replacen("http", "ws", 1)),
            api: format!("{api}/api/v1"),
            openapi: format!("{api}/api/v1/openapi.json"),
            metrics: format!("{query}/metrics"),
            health: format!("{query}/health/ready"),
            token,
            data: data.display().to_string(),
            offers: vec![],
        }
    }

    /// A newcomer is told what else there is to look at.
    pub fn offering(mut self, start: Start) -> Self {
        match start {
            Start::First(_) => self.offers = offers(Path::new(&self.data)),
            Start::Later => {}
        }
        self
    }

    pub fn announce(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        let docs = self.openapi.replace("/v1/openapi.json", "/docs");
        println!(
            "
  Foldline is up. Ctrl-C stops it; the data stays.

  GraphQL     {graphql}#token={token}
              (opens GraphiQL, signed in)
  Commands    {api}
              described at {docs}#token={token}
  Health      {health}
  Metrics     {metrics}
  Data        {data}

  Try it:

    export TOKEN={token}
    curl -sS {api}/projects -H \"Authorization: Bearer $TOKEN\" \\
      -H 'Content-Type: application/json' -d '{{\"name\": \"My first project\"}}'
",
            graphql = self.graphql,
            api = self.api,
            health = self.health,
            metrics = self.metrics,
            data = self.data,
            token = self.token,
        );
        if !self.offers.is_empty() {
            println!("  More to look at, for another terminal:\n");
        }
        for Offer { line, brings } in &self.offers {
            println!("    # {brings}\n    {line}\n");
        }
        Ok(())
    }
}
