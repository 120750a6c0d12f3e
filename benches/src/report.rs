//! What comes out of a benchmark: a table for people, and a file for machines.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use serde::Serialize;

/// One figure, from several runs.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub runs: Vec<f64>,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// This median divided by others of the same run, by their names.
    pub ratios: BTreeMap<String, f64>,
}

impl Figure {
    pub fn new(name: &str, unit: &'static str, runs: Vec<f64>) -> Self {
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            name: name.to_owned(),
            unit,
            median: sorted[sorted.len() / 2],
            min: sorted[0],
            max: sorted[sorted.len() - 1],
            runs,
            ratios: BTreeMap::new(),
        }
    }

    pub fn against(&mut self, name: &str, other: f64) {
        self.ratios.insert(name.to_owned(), self.median / other);
    }
}

/// Prints the table, and writes `target/bench/NAME.json`.
pub fn publish(benchmark: &str, figures: &[Figure]) -> anyhow::Result<()> {
    println!(
        "\n{:<48} {:>10} {:>10} {:>10}  {:<10} ratios",
        "", "median", "min", "max", "unit"
    );
    for figure in figures {
        let ratios: Vec<String> = figure
            .ratios
            .iter()
            .map(|(name, ratio)| format!("{ratio:.2} {name}"))
            .collect();
        println!(
            "{:<48} {:>10.1} {:>10.1} {:>10.1}  {:<10} {}",
            figure.name,
            figure.median,
            figure.min,
            figure.max,
            figure.unit,
            ratios.join(", ")
        );
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder).context("cannot make target/bench")?;
    let file = folder.join(format!("{benchmark}.json"));
    fs::write(&file, serde_json::to_string_pretty(figures)?)
        .with_context(|| format!("cannot write {}", file.display()))
}
