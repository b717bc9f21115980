/** What is told of an image: `graph/image-info.ts` in the words of the control socket's schema. */
import type { Fields } from '../options/field.ts';
import { anything, bool, group, integer, list, text, variant } from '../options/fields.ts';
import { named } from './shape.ts';

const required = { required: true } as const;
const count = (help: string) => integer({ help, ...required });

const snapshotFields = {
  id: text({ help: 'Its number, as text', ...required }),
  name: text({ help: 'Its name', ...required }),
  'vm-state-size': count('Bytes of the state of the machine'),
  'date-sec': count('When it was made, in seconds since 1970'),
  'date-nsec': count('Nanoseconds to add to that'),
  'vm-clock-sec': count('Time of the machine, in seconds'),
  'vm-clock-nsec': count('Nanoseconds to add to that'),
  icount: integer({ help: 'Instructions that the machine had carried out' }),
};

/** @param specific what each driver that has more to tell tells, by its name. */
export function imageInfoFields(specific: Readonly<Record<string, Fields>>): Fields {
  const data = Object.entries(specific).map(([name, fields]) => [
    name,
    { data: group(fields, { help: 'What only images of this format have', ...required }) },
  ]);
  return {
    filename: text({ help: 'Name of the file', ...required }),
    format: text({ help: 'Driver', ...required }),
    'dirty-flag': bool({ help: 'It was not closed properly', ...required }),
    'actual-size': integer({ help: 'Bytes that it takes on the host, without the backing file' }),
    'virtual-size': count('Bytes of the disk'),
    'cluster-size': integer({ help: 'Bytes of a cluster' }),
    encrypted: bool({ help: 'Its data is encrypted' }),
    compressed: bool({ help: 'Its data is compressed' }),
    'backing-filename': text({ help: 'The backing file, as the image has it' }),
    'full-backing-filename': text({ help: 'The same with the folder of the image' }),
    'backing-filename-format': text({ help: 'Format of the backing file' }),
    snapshots: list(group(snapshotFields, { help: 'A snapshot', ...required }), { help: 'Internal snapshots' }),
    'backing-image': named('ImageInfo', anything({ help: 'The image below; not with flat' })),
    'format-specific': variant('type', Object.fromEntries(data), {
      help: 'What only images of this format have',
      keyHelp: 'Driver',
    }),
  };
}
