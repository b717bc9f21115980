/** Which children a driver has. */
import type { ChildSlot, Driver } from '../driver.ts';

/** The children of a driver that options of that name stand for; by default formats and filters have `file`. */
export function slotsOf(driver: Driver): readonly ChildSlot[] {
  if (driver.slots) return driver.slots;
  if (driver.kind === 'protocol') return [];
  return [
    { name: 'file', role: driver.kind === 'filter' ? 'filtered' : 'metadata+data', anyNode: driver.kind === 'filter' },
  ];
}

/** Where a filter has what it filters; undefined for what is no filter, or one of several disks. */
export function filteredSlot(driver: Driver): ChildSlot | undefined {
  return driver.kind === 'filter' ? slotsOf(driver).find(({ role }) => role === 'filtered') : undefined;
}
