//! Compiled filters by number, shared by the subscriptions that use them.

use crate::registry::coded;
use napi::bindgen_prelude::{Int32Array, Result};
use napi_derive::napi;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use vexfs_core::filter::Filter;

static FILTERS: OnceLock<Mutex<HashMap<u32, Arc<Filter>>>> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(1);

fn filters() -> &'static Mutex<HashMap<u32, Arc<Filter>>> {
    FILTERS.get_or_init(Mutex::default)
}

pub fn get(number: u32) -> Result<Option<Arc<Filter>>> {
    if number == 0 {
        return Ok(None);
    }
    let found = filters().lock().get(&number).cloned();
    found.map(Some).ok_or_else(|| coded("INTERNAL", "unknown filter"))
}

/// Compiles a filter; conditions that are empty are not given. Free it with `dropFilter`.
#[napi]
pub fn make_filter(codes: Vec<u32>, categories: Vec<u32>, globs: Vec<String>) -> Result<u32> {
    let narrow = |list: Vec<u32>| list.into_iter().map(|code| code as u16).collect::<Vec<_>>();
    let filter =
        Filter::new(&narrow(codes), &narrow(categories), &globs).map_err(|error| coded("FILTER_INVALID", error))?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    filters().lock().insert(number, Arc::new(filter));
    Ok(number)
}

#[napi]
pub fn drop_filter(number: u32) {
    filters().lock().remove(&number);
}

/// Of each event the position of the first filter that lets it through, -1 where none does. An empty path is none; the
/// three lists are as long as each other.
#[napi]
pub fn first_matches(numbers: Vec<u32>, codes: Vec<u32>, paths: Vec<String>, tos: Vec<String>) -> Result<Int32Array> {
    let filters = numbers.into_iter().map(get).collect::<Result<Vec<_>>>()?;
    let first = |code: u32, path: &str, to: &str| {
        let admits = |filter: &Option<Arc<Filter>>| {
            filter.as_ref().is_none_or(|filter| filter.admits_named(code as u16, [path.as_bytes(), to.as_bytes()]))
        };
        filters.iter().position(admits).map_or(-1, |at| at as i32)
    };
    let matches: Vec<i32> =
        codes.iter().zip(&paths).zip(&tos).map(|((code, path), to)| first(*code, path, to)).collect();
    Ok(Int32Array::new(matches))
}
