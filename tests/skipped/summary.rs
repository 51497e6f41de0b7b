//! The last test of `cargo test --workspace`: what was not tested.

fn main() {
    // Harnesses ask test programs which tests they have.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let skipped = fau3_skipped::take().expect("the list of skipped tests is readable");
    if skipped.is_empty() {
        println!("\nno test was skipped\n");
        return;
    }
    println!("\nSKIPPED, NOT TESTED: {}", skipped.len());
    for line in &skipped {
        println!("  {line}");
    }
    println!("CONTRIBUTING.md says what they need; with FAU3_REQUIRE_ALL=1 they fail instead.\n");
}
