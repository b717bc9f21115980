/** What `--object` takes. */
import { describe, expect, test } from 'vitest';
import { addObjects, objectValue } from '../../../src/commands/cli/object-value.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';

const graph = () => new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });

async function define(text: string, known = graph()): Promise<BlockGraph> {
  await addObjects(known, [objectValue(text, '--object')], new AbortController().signal);
  return known;
}

describe('objectValue', () => {
  test.each([
    'throttle-group,id=g,x-bps-total=1M,x-iops-read=10',
    'throttle-group,id=g,limits.bps-total=1048576,limits.iops-read=10',
    '{"qom-type": "throttle-group", "id": "g", "limits": {"bps-total": 1048576, "iops-read": 10}}',
  ])('defines a group of limits: %s', async (text) => {
    const known = await define(text);
    const { buckets } = known.objects.find('throttle-group', 'g').limits;
    expect([buckets['bps-total'].average, buckets['iops-read'].average]).toEqual([1048576, 10]);
    await expect(define(text, known)).rejects.toThrow("there is already an object 'g'");
  });

  test.each([
    ['nonsense,id=s', "there is no object type 'nonsense'"],
    ['pr-manager-helper,id=s', "object type 'pr-manager-helper' is not supported: persistent reservations"],
    ['throttle-group', "object type 'throttle-group' needs the option 'id'"],
    ['throttle-group,id=1g', "'1g' is no valid id of an object"],
    ['throttle-group,id=g,bps=1', "throttle-group 'g' has no option 'bps'"],
    ['throttle-group,id=g,x-bps=1', "throttle-group 'g' has no option 'x-bps'"],
    ['throttle-group,id=g,x-bps-total-max=1', 'bps-total-max needs bps-total'],
  ])('defines nothing from %j', async (text, message) => {
    const known = graph();
    await expect(define(text, known)).rejects.toThrow(message);
    expect(known.objects.list()).toEqual([]);
  });

  test.each([
    '',
    ',',
    '{"data": "swordfish"}',
    'data=swordfish',
    '{"qom-type": "secret", "data": "swordfish"',
    '=swordfish',
  ])('refuses %j without repeating it', (text) => {
    expect(() => objectValue(text, '--object')).toThrow(
      /^(?!.*swordfish)(--object expects a type|the value of --object)/,
    );
  });

  test('is of use to images named on the command line', async () => {
    const throttled = ['map', '--output=json', '--image-opts', 'driver=throttle,throttle-group=g,file.driver=null-co'];
    expect(await imgHere([...throttled, '--object', 'throttle-group,id=g,x-bps-total=1M'])).toMatchObject({ code: 0 });
    const { code, stderr } = await imgHere(throttled);
    expect([code, stderr]).toEqual([1, expect.stringContaining("there is no throttle group 'g'")]);
  });

  test('an object that cannot be defined is a failure to open', async () => {
    expect(await imgHere(['compare', '--object', 'secret,id=s', 'a', 'b'])).toMatchObject({
      code: 2,
      stderr: "img: secret 's' needs 'data' or 'file'\n",
    });
  });

  test.each(['help', '?'])('lists the types on %s, whatever else the command line lacks', async (word) => {
    const text = await imgHereOutput(['create', '--object', word]);
    expect(text).toMatch(/^List of user creatable objects:\n/);
    for (const name of ['secret', 'throttle-group']) expect(text).toContain(`\n  ${name} `);
  });

  test('lists the options of a type', async () => {
    expect(await imgHereOutput(['convert', '--object', 'secret,help'])).toMatch(
      /^Supported secret options:\n {2}data=<str>/,
    );
    const { code, stderr } = await imgHere(['convert', '--object', 'nonsense,help']);
    expect([code, stderr]).toEqual([1, expect.stringContaining("there is no object type 'nonsense'")]);
  });
});
