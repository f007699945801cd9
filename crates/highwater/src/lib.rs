//! What the command line reads from outside that is worth a test of its own:
//! everything else is in the program.

pub mod history;
