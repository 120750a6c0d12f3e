//! The rules, as specifications; and the real history, which keeps all of them.

mod commands;
mod history;
mod laws;
mod projects;
mod rejections;
mod samples;
mod specification;
mod tasks;
