"""The drawing of a definition, as SVG and as Mermaid, with the states of a run if there is one.

`layout.graph_of` places the steps of a definition, `svg.draw` and `mermaid.draw` write them, and `states.states_of`
makes the states of a run.
"""
