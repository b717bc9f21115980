/** What `--object` takes. */
import { describe, expect, test } from 'vitest';
import { objectValue } from '../../../src/commands/cli/object-value.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { imgHere } from '../../support/img-here.ts';

const graph = () => new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });

describe('objectValue', () => {
  test.each([
    'throttle-group,id=g,x-bps-total=1M,x-iops-read=10',
    'throttle-group,id=g,limits.bps-total=1048576,limits.iops-read=10',
    '{"qom-type": "throttle-group", "id": "g", "limits": {"bps-total": 1048576, "iops-read": 10}}',
  ])('defines a group of limits: %s', (text) => {
    const known = graph();
    objectValue(text, '--object').addTo(known);
    const { buckets } = known.throttleGroup('g').limits;
    expect([buckets['bps-total'].average, buckets['iops-read'].average]).toEqual([1048576, 10]);
    expect(() => objectValue(text, '--object').addTo(known)).toThrow("--object: there is already an object 'g'");
  });

  test.each([
    ['', "--object expects a type such as throttle-group, not ''"],
    ['secret,id=s,data=x', "--object: 'secret' is for encrypted images, not supported by this version"],
    ['nonsense,id=s', "--object: there is no object type 'nonsense'"],
    ['throttle-group', '--object: a throttle-group needs an id'],
    ['throttle-group,id=g,bps=1', "throttle-group 'g' has no option 'bps'"],
    ['throttle-group,id=g,x-bps=1', "throttle-group 'g' has no option 'bps'"],
    ['throttle-group,id=g,x-bps-total-max=1', 'bps-total-max needs bps-total'],
    ['{"qom-type"', 'the value of --object'],
  ])('refuses %j', (text, message) => {
    expect(() => objectValue(text, '--object')).toThrow(message);
  });

  test('is of use to images named on the command line', async () => {
    const throttled = ['map', '--output=json', '--image-opts', 'driver=throttle,throttle-group=g,file.driver=null-co'];
    expect(await imgHere([...throttled, '--object', 'throttle-group,id=g,x-bps-total=1M'])).toMatchObject({ code: 0 });
    const { code, stderr } = await imgHere(throttled);
    expect([code, stderr]).toEqual([1, expect.stringContaining("there is no throttle group 'g'")]);
  });
});
