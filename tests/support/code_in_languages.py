"""A small file in each language beside Python, with what of it is asked for as a prompt."""

from typing import NamedTuple

from raysim.corpus.languages import Language


class Code(NamedTuple):
    """A file, and of each of its documented functions the first and last words of prompt and continuation."""

    path: str
    text: str
    functions: list[tuple[str, str, str, str]]


JAVA = """\
package org.example;

/** A queue of fixed size. */
public class Ring {
    private final int[] slots;

    /**
     * Makes an empty one.
     */
    @SuppressWarnings("unused")
    public Ring(int size) {
        if (size < 1) {
            throw new IllegalArgumentException("size = " + size);
        }
        this.slots = new int[size];
    }

    /** Is on one line. */
    int one() { return 1; }

    // No documentation.
    int two() {
        return 2;
    }

    /** Documents a field. */

    int three() {
        return 3;
    }

    /** Finds a value – or -1. */
    public int find(int value)
    {
        for (int i = 0; i < slots.length; i++) {
            if (slots[i] == value) return i;
        }
        return -1;
    }
}
"""

JAVASCRIPT = """\
/** Sums é numbers. */
export function sum(numbers) {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

/**
 * Calls back later.
 */
const later = (callback, wait) => {
  const timer = setTimeout(callback, wait);
  return () => clearTimeout(timer);
};

// Not documented.
function nothing() {
  return undefined;
}

class Cache {
  /** Gets a value, or makes it. */
  async get(key, make) {
    if (!this.has(key)) {
      this.set(key, await make(key));
    }
    return this.values.get(key);
  }
}
"""

C = """\
#include <stddef.h>

/* Length of a list,
 * with its head. */
static size_t
length(const struct node *head)
{
    size_t count = 0;
    while (head != NULL) {
        head = head->next;
        count++;
    }
    return count;
}

// The larger one.
int larger(int a, int b) {
    return a > b ? a : b;
}

int undocumented(void) {
    return 0;
}
"""

GO = """\
package ring

// Sum adds numbers up.
// It stops at zero.
func Sum(numbers []int) int {
	total := 0
	for _, number := range numbers {
		total += number
	}
	return total
}

// Len is how many there are.
func (r *Ring) Len() int {
	return len(r.slots)
}

func undocumented() int {
	return 1
}
"""

RUST = """\
use std::fmt;

/// Adds one up to a limit.
///
/// Panics never.
#[inline]
pub fn step(value: u32, limit: u32) -> u32 {
    if value < limit {
        return value + 1;
    }
    limit
}

impl Ring {
    /// How many there are.
    fn len(&self) -> usize {
        self.slots.len()
    }

    // Not documented.
    fn nothing(&self) {
        drop(self);
    }
}
"""

CODE: dict[Language, Code] = {
    "java": Code(
        "src/Ring.java",
        JAVA,
        [
            ("    /**", "int size) {", "        if (size < 1) {", "    }"),
            ("    /** Finds", "    {", "        for (int i", "    }"),
        ],
    ),
    "javascript": Code(
        "lib/util.mjs",
        JAVASCRIPT,
        [
            ("/** Sums é", "numbers) {", "  let total", "}"),
            ("/**", "=> {", "  const timer", "};"),
            ("  /** Gets", "make) {", "    if (!this", "  }"),
        ],
    ),
    "c": Code(
        "list.c",
        C,
        [("/* Length", "head)\n{", "    size_t count", "}"), ("// The larger", "int b) {", "    return a", "}")],
    ),
    "go": Code(
        "ring.go", GO, [("// Sum adds", "int {", "\ttotal := 0", "}"), ("// Len is", "int {", "\treturn len", "}")]
    ),
    "rust": Code(
        "src/ring.rs",
        RUST,
        [("/// Adds", "u32 {", "    if value", "}"), ("    /// How", "usize {", "        self.slots", "    }")],
    ),
}
