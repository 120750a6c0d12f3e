//! Where the views are, for what only looks at them or leaves a wish there: given, or those of a running `foldline up`.

use std::path::PathBuf;

use clap::Args;
use foldline_projector::View;

use super::{Database, DatabaseArgs, LogArgs, Problems, ViewArgs};

#[derive(Args, Clone)]
pub struct ViewsArgs {
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The data folder of a running `foldline up`, when no database is given; by default the user's data folder.
    #[arg(long, env = "FOLDLINE_DATA")]
    data: Option<PathBuf>,
}

pub struct Views {
    /// When it is not that of the data folder.
    pub database: Option<Database>,
    pub data: Option<PathBuf>,
}

impl ViewsArgs {
    pub(super) fn read(&self, problems: &mut Problems) -> Views {
        let given = self.database.database_url.is_some() || self.view.view_url.is_some();
        let database = given.then(|| problems.note(self.view.read(&self.database)));
        Views {
            database: database.flatten(),
            data: self.data.clone(),
        }
    }

    /// Where the log is that the views are folded from; `None` when it is that of the data folder.
    pub(super) fn log(&self, log: &LogArgs, problems: &mut Problems) -> Option<Database> {
        let given = log.is_given(&self.database);
        given
            .then(|| problems.note(log.read(&self.database)))
            .flatten()
    }
}

pub(super) fn view_named(given: &str) -> Result<View, String> {
    let named = View::ALL.into_iter().find(|view| view.name() == given);
    named.ok_or_else(|| {
        let views = View::ALL.map(View::name);
        format!("there is no view {given:?}; there are {}", views.join(", "))
    })
}
