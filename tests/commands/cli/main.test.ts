import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { run } from '../../../src/commands/cli/main.ts';
import { renderMan } from '../../../src/commands/cli/man.ts';
import { VERSION } from '../../../src/commands/cli/version.ts';
import { fakeIo } from './fake-io.ts';
import { sample } from './sample-program.ts';

async function img(
  line: string,
  settings: Parameters<typeof fakeIo>[0] = {},
): Promise<{ status: number; out: string; err: string }> {
  const io = fakeIo(settings);
  const status = await run(sample, line === '' ? [] : line.split(' '), io);
  return { status, out: io.out(), err: io.err() };
}

describe('run', () => {
  it('runs a command', async () => {
    expect(await img('info -fraw x')).toEqual({ status: 0, out: 'x human raw\n', err: '' });
    expect(await img('-- info x')).toMatchObject({ status: 0, out: 'x human undefined\n' });
  });
  const more = "Try 'img --help' for more information\n";
  it.each([
    ['', `img: a command is missing\n${more}`],
    ['inf', `img: unknown command 'inf' (did you mean 'info'?)\n${more}`],
    ['constructor', `img: unknown command 'constructor'\n${more}`],
    ['-x info', `img: unknown option '-x'\n${more}`],
    ['--help=x', `img: unknown option '--help=x'\n${more}`],
    ['-T', `img: option '-T' needs a value PATTERN\n${more}`],
    ['info', "img: argument FILE is missing\nTry 'img info --help' for more information\n"],
    ['info -Z x', "img: unknown option '-Z'\nTry 'img info --help' for more information\n"],
    ['fail block', 'img: disk is on fire (Use water)\n'],
    ['fail advice', "img: not here\nYou can use 'img info' or io instead.\n"],
    ['fail closing', 'img: cannot be read\n'],
    ['fail usage', 'img: wrong words\n'],
    ['fail system', 'img: /nonexistent/x: No such file or directory\n'],
    ['fail cancel', ''],
  ])('%j ends in status 1', async (line, err) => expect(await img(line)).toEqual({ status: 1, out: '', err }));
  it('lets a command choose the status', async () => {
    expect(await img('fail status')).toEqual({ status: 2, out: '', err: 'img: no such disk\n' });
  });
  it('prints one line for a bug, the place of it only on request', async () => {
    const { status, err } = await img('fail bug');
    expect(status).toBe(70);
    expect(err).toBe(
      'img: internal error: TypeError: x is not a function\nSet BLOCKYARD_DEBUG=1 to see where it happened\n',
    );
    expect((await img('fail bug', { env: { BLOCKYARD_DEBUG: '1' } })).err).toContain('sample-program.ts');
  });
  it('goes by the name it was called as', async () => {
    expect((await img('nope', { programName: 'qemu-img' })).err).toMatch(/^qemu-img: .*\nTry 'qemu-img --help'/);
    expect((await img('fail advice', { programName: 'qemu-img' })).err).toContain("use 'qemu-img info' or io instead");
    expect((await img('--version', { programName: 'qemu-img' })).out).toBe(`qemu-img version ${VERSION} (blockyard)\n`);
    for (const option of ['-V', '--vers', '--version']) {
      expect(await img(option)).toEqual({ status: 0, out: `img version ${VERSION} (blockyard)\n`, err: '' });
    }
  });
  it('accepts trace patterns before the command', async () => {
    for (const line of ['-T x info y', '-Tx info y', '--trace file=x info y', '--trace=enable=x info y']) {
      expect(await img(line)).toMatchObject({ status: 0, out: 'y human undefined\n' });
    }
    expect(await img('-T x')).toEqual({
      status: 0,
      out: '',
      err: "img: warning: there are no trace events, 'x' matches none\n",
    });
  });
  it.each(['-T help', '-Thelp', '--trace help', '--trace=?', '-T x --trace help info y'])(
    '%s names what can be traced',
    async (line) => {
      const { status, out } = await img(line);
      expect({ status, out }).toEqual({ status: 0, out: expect.stringContaining('--trace FILE ') });
    },
  );
  it('knows the version of the package', () => {
    expect(JSON.parse(readFileSync('package.json', 'utf8'))).toMatchObject({ version: VERSION });
  });
});

describe('--help', () => {
  it('shows a command', async () => {
    const { status, out } = await img('info --help');
    expect(status).toBe(0);
    expect(out).toBe(
      [
        'Usage: img info [OPTIONS] FILE',
        '',
        'Show what an image is',
        '',
        'Reads the header only.',
        '',
        'Arguments:',
        '  FILE         The image',
        '',
        'Options:',
        '  -f, --format=FMT         Format of the image, instead of finding it out from',
        '                           its first bytes',
        '      --output=human|json  How to print                         [default: human]',
        '  -o LIST                  Options',
        '  -u                       Do not look',
        '  -h, --help               Show this help',
        '',
        'Examples:',
        '  img info disk.qcow2',
        '      Look at a disk',
        '',
        'Exit status:',
        '  0  fine',
        '',
      ].join('\n'),
    );
  });
  it('shows the overview, the same for -h', async () => {
    const { out } = await img('--help', { programName: 'qemu-img' });
    expect((await img('-h', { programName: 'qemu-img' })).out).toBe(out);
    expect(out).toMatch(/\nLook at images:\n {2}info +Show what an image is\n/);
    expect(out).toMatch(/\nCommands:\n {2}fail +Fail in a given way\n {2}work +Work until interrupted\n/);
    expect(out).toContain('Formats: raw qcow2\n');
    expect(out.split('\n').every((line) => line.length <= 80)).toBe(true);
  });
  it('is coloured on a terminal only', async () => {
    const esc = String.fromCharCode(27);
    expect((await img('info -h')).out).not.toContain(esc);
    expect((await img('info -h', { tty: true, env: { NO_COLOR: '1' } })).out).not.toContain(esc);
    expect((await img('info -h', { tty: true, env: { TERM: 'dumb' } })).out).not.toContain(esc);
    const { out } = await img('info -h', { tty: true });
    expect(out).toContain(`${esc}[1mOptions:${esc}[22m`);
    expect(out).toContain(`${esc}[36m--format${esc}[39m=FMT`);
  });
});

describe('renderMan', () => {
  it('names every option of every command', async () => {
    const page = await renderMan(sample);
    expect(page).toBe(await renderMan(sample));
    expect(page).toContain('.SS info\n.B img info\n[\\fIOPTIONS\\fR] \\fIFILE\\fR\n');
    expect(page).toContain('.TP\n\\fB\\-f\\fR \\fIFMT\\fR, \\fB\\-\\-format\\fR=\\fIFMT\\fR\nFormat of the image');
    expect(page).toContain('How to print (default human)\n');
  });
});
