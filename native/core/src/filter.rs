//! What a subscription lets through: types, categories and path globs, compiled once.

use crate::event::EventRef;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::collections::BTreeSet;
use thiserror::Error;

#[derive(Debug, Error)]
#[error("glob {glob:?} is not valid: {reason}")]
pub struct FilterError {
    pub glob: String,
    pub reason: String,
}

/// Every condition that is given must hold; an empty one is not given.
#[derive(Debug, Default)]
pub struct Filter {
    codes: BTreeSet<u16>,
    categories: BTreeSet<u16>,
    paths: Option<GlobSet>,
}

impl Filter {
    /// `codes` and `categories` (a code's upper byte) are alternatives; so are the globs, over `path` and `to`.
    pub fn new(codes: &[u16], categories: &[u16], globs: &[String]) -> Result<Self, FilterError> {
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            let fail = |error: globset::Error| FilterError { glob: glob.clone(), reason: error.kind().to_string() };
            set.add(GlobBuilder::new(glob).literal_separator(true).build().map_err(fail)?);
        }
        let paths = match globs.is_empty() {
            true => None,
            false => Some(set.build().map_err(|error| FilterError {
                glob: globs.join(" "),
                reason: error.kind().to_string(),
            })?),
        };
        Ok(Self {
            codes: codes.iter().copied().collect(),
            categories: categories.iter().map(|category| category & 0xFF00).collect(),
            paths,
        })
    }

    pub fn admits(&self, event: &EventRef<'_>) -> bool {
        self.admits_named(event.code(), [event.path(), event.to()])
    }

    /// As `admits`, of an event that is not packed; an empty path is none.
    pub fn admits_named(&self, code: u16, paths: [&[u8]; 2]) -> bool {
        let typed = self.codes.is_empty() && self.categories.is_empty()
            || self.codes.contains(&code)
            || self.categories.contains(&(code & 0xFF00));
        typed && self.paths.as_ref().is_none_or(|globs| Self::either(globs, paths))
    }

    fn either(globs: &GlobSet, paths: [&[u8]; 2]) -> bool {
        paths
            .into_iter()
            .filter(|path| !path.is_empty())
            .any(|path| std::str::from_utf8(path).is_ok_and(|path| globs.is_match(path)))
    }
}
