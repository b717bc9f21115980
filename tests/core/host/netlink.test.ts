/** Generic netlink, with the one family that every Linux has: the controller itself. */
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { GenericNetlink, nestedAttribute, numberAttribute, stringAttribute } from '../../../src/core/host/netlink.ts';

const CONTROLLER = { getFamily: 3, familyId: 1, familyName: 2 } as const;

describe.skipIf(process.platform !== 'linux')('generic netlink', () => {
  test('finds a family, and asks it', async () => {
    const controller = await GenericNetlink.open('nlctrl');
    if (!controller) throw new Error('there is no controller');
    for (let round = 0; round < 3; round++) {
      const answer = await controller.request(CONTROLLER.getFamily, [stringAttribute(CONTROLLER.familyName, 'nlctrl')]);
      if (typeof answer === 'number') throw new Error(`errno ${answer}`);
      expect(answer.get(CONTROLLER.familyId)?.readUInt16LE()).toBe(16);
      expect(answer.get(CONTROLLER.familyName)?.toString()).toBe('nlctrl\0');
    }
    controller.close();
  });

  test('answers with the errno of the driver', async () => {
    const controller = await GenericNetlink.open('nlctrl');
    const unknown = [stringAttribute(CONTROLLER.familyName, 'no-such-family')];
    expect(await controller?.request(CONTROLLER.getFamily, unknown)).toBe(-constants.errno.ENOENT);
    expect(await controller?.request(99, [])).toBe(-constants.errno.EOPNOTSUPP);
    controller?.close();
  });

  test('a family that is not there', async () => {
    expect(await GenericNetlink.open('no-such-family')).toBeUndefined();
  });

  test('attributes are padded, and may be made of attributes', () => {
    expect(stringAttribute(2, 'nbd').toString('hex')).toBe('080002006e626400');
    expect(stringAttribute(2, 'abcd').toString('hex')).toBe('09000200' + '61626364' + '00000000');
    const nested = nestedAttribute(7, nestedAttribute(1, numberAttribute(1, 0x12345678)));
    expect(nested.toString('hex')).toBe('10000780' + '0c000180' + '08000100' + '78563412');
  });
});
