//! `tagline graph`, run as a command.

use crate::place::Place;

const DIAMOND: &str = "\
on: push
jobs:
  a: { runs-on: x, steps: [{ run: x }] }
  d: { needs: [b, c], runs-on: x, steps: [{ run: x }] }
  b: { needs: a, runs-on: x, steps: [{ run: x }] }
  c: { needs: a, runs-on: x, steps: [{ run: x }] }
";

#[test]
fn layers_and_edges() {
    let place = Place::new();
    place.write("d.yml", DIAMOND);
    let text = place.run(&["graph", "d.yml"]).exits(0).out;
    assert_eq!(text, "1  a\n2  b  after a\n   c  after a\n3  d  after b, c\n");
    let mermaid = place.run(&["graph", "d.yml", "--format", "mermaid"]).exits(0).out;
    assert!(mermaid.starts_with("flowchart LR\n") && mermaid.contains("  a --> b\n"), "{mermaid}");
    let dot = place.run(&["graph", "d.yml", "--format", "dot"]).exits(0).out;
    assert!(dot.contains("  \"c\" -> \"d\";\n") && dot.ends_with("}\n"), "{dot}");
}
