/** How permission bits are spelled: as chmod takes them. */

/** @returns e.g. `0660`; what kind of file it is stays out */
export function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0')
}
