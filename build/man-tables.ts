/**
 * Tables for the manual: a terminal is too narrow for them, so each row becomes an item of a list, its
 * first cell in front and the others after it.
 */
import type { List, ListItem, PhrasingContent, Root, RootContent, Table, TableRow } from 'mdast'

/** A plugin of unified; call it before what writes the page. */
export function tablesAsLists() {
  return (tree: Root): void => {
    tree.children = tree.children.map((node): RootContent =>
      node.type === 'table' ? listOf(node) : node,
    )
  }
}

function listOf({ children: [head, ...rows] }: Table): List {
  return {
    type: 'list',
    ordered: false,
    spread: false,
    children: rows.map((row) => itemOf(row, head)),
  }
}

function itemOf({ children: [first, ...others] }: TableRow, head: TableRow | undefined): ListItem {
  const rest = others.map((cell, index): PhrasingContent[] => {
    const name = head?.children[index + 1]?.children ?? []
    // The second cell explains the first; those after it need their column's name.
    const label: PhrasingContent[] = index === 0 ? [] : [...name, { type: 'text', value: ' ' }]
    return [{ type: 'text', value: index === 0 ? ': ' : '; ' }, ...label, ...cell.children]
  })
  return {
    type: 'listItem',
    spread: false,
    children: [{ type: 'paragraph', children: [...(first?.children ?? []), ...rest.flat()] }],
  }
}
