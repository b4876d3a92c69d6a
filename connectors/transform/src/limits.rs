//! What is bounded, and where.

/// Longest program.
pub(crate) const PROGRAM_BYTES_MAX: usize = 64 << 10;
/// Brackets inside each other, in a program: each is a few frames of a parser on a stack of 512 KiB.
pub(crate) const PROGRAM_DEPTH_MAX: usize = 64;
/// Arrays and objects inside each other, in what is read and in what is written: with the three of the output around them, as many as
/// the host takes.
pub(crate) const JSON_DEPTH_MAX: usize = 124;
/// The whole output of one call: as much as the host takes from an action.
pub(crate) const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// Longest message of an error.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 10;
/// Longest key that a message repeats.
pub(crate) const KEY_BYTES_MAX: usize = 64;
/// Integers of more digits are calculated with as decimals: reading an integer takes time by the square of its length.
pub(crate) const INTEGER_DIGITS_MAX: usize = 1_000;
