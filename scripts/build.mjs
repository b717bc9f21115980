// Build dist/ from src/.
//
//   node scripts/build.mjs               programs, library and type declarations
//   node scripts/build.mjs --no-types    without the declarations (fast)
//   node scripts/build.mjs --if-needed   nothing at all when the sources have not changed since
//
// Two kinds of bundles come out. dist/cli/*.cjs is what bin/ starts, and the threads of those: CommonJS, because Node
// loads it a good deal faster than ES modules, and because an ES module entry would already have used the thread pool
// before its size can be set. dist/index.js with dist/chunks/ is the library, as ES modules. Each driver and each
// subcommand is reached by `import()` and so becomes a chunk of its own, loaded when first used. Small pure-JS
// dependencies are bundled; native ones stay outside. Chunks are named by content and written before the entries that
// name them, so that a program which is running while we build finds its chunks.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { installIfNeeded, root, tool } from './project.mjs';
import { isStamped, stampOf, writeStamp } from './stamp.mjs';

const dist = join(root, 'dist');
const inputs = ['src', 'scripts', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];
/** How long a chunk that no entry names any more stays for programs that are running. */
const KEEP_STALE_MS = 10 * 60 * 1000;

const external = [/^node:/, 'koffi', /^@koromix\//, /^@toondepauw\//];
const common = {
  external,
  platform: 'node',
  cwd: root,
  tsconfig: false,
  transform: { target: 'es2022' },
  resolve: {
    conditionNames: ['import', 'node', 'default'],
    alias: { 'string-width': join(root, 'scripts', 'shims', 'string-width.cjs') },
  },
  logLevel: 'warn',
  checks: { emptyImportMeta: false }, // in a corner of yargs that extends configurations, which we do not use
};

/** What every command on an image loads. Types of user objects come in when they are used. */
const everyCommand = [
  /src\/core\/(bytes|errors|async|options|host|block\/(?!recorded|objects\/(authz|secret|tls)))/,
  /src\/drivers\/(file\/|raw\/|index)/,
  /src\/commands\/cli\/(io|main|nested-lines|object-value|output|parse-arguments|process-io|progress|rate-meter)\.ts/,
  /src\/commands\/cli\/(record|refs-option|report|trace-option|version)\.ts/,
  /src\/commands\/img\/open-image\.ts/,
  /node_modules\/valibot\//,
];

/** The programs, for bin/. */
const programs = {
  options: {
    ...common,
    input: {
      img: 'src/commands/img/main.ts',
      io: 'src/commands/io/main.ts',
      nbd: 'src/commands/nbd/main.ts',
    },
  },
  output: {
    dir: join(dist, 'cli'),
    format: 'cjs',
    exports: 'named',
    entryFileNames: '[name].cjs',
    chunkFileNames: 'chunks/[name]-[hash].cjs',
    sourcemap: 'hidden',
    minify: {
      mangle: { toplevel: false, keepNames: { function: false, class: true } },
      compress: true,
      codegen: { removeWhitespace: true },
    },
    codeSplitting: {
      // What every command on an image loads is one chunk, a format another, without what is seldom done to an image of
      // it: each chunk costs a tenth of a millisecond, and more where it is not in the pack.
      groups: [
        { name: 'base', test: new RegExp(everyCommand.map(({ source }) => source).join('|')) },
        { name: 'qcow2', test: /src\/drivers\/qcow2\/(?!(check|repair|amend|snapshots)\/)/ },
      ],
    },
  },
};

/**
 * A thread, each in a bundle of its own: it starts with nothing that was compiled before, and the chunks it would share
 * with the programs are a hundred times as long as what it needs of them.
 */
const thread = (name, path) => ({
  options: { ...common, input: { [name]: path } },
  output: {
    ...programs.output,
    chunkFileNames: `chunks/${name}-[name]-[hash].cjs`,
    codeSplitting: {},
  },
});
const threads = [
  thread('trace-thread', 'src/core/trace/thread.ts'),
  thread('hash-thread', 'src/core/job/checksum/hash-thread.ts'),
];

/** The library, for `import … from 'blockyard'`. */
const library = {
  options: { ...common, input: { index: 'src/index.ts' } },
  output: {
    dir: dist,
    format: 'es',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
    sourcemap: true,
  },
};

/** Build the bundles, and the declarations when `types` is set. Returns an exit status. */
export async function build({ types = true, ifNeeded = false } = {}) {
  installIfNeeded();
  const stamp = stampOf(inputs.map((name) => join(root, name)));
  const codeStamp = join(dist, '.stamp');
  const typesStamp = join(dist, '.stamp-types');
  if (!ifNeeded || !isStamped(codeStamp, stamp) || !existsSync(join(dist, 'cli', 'img.cjs'))) {
    const { rolldown } = await import('rolldown');
    const results = await Promise.all([programs, ...threads, library].map((each) => bundle(rolldown, each)));
    removeStale(new Set(results.flat()), [join(dist, 'chunks'), join(dist, 'cli', 'chunks')]);
    writeStamp(codeStamp, stamp);
  }
  if (types && !(ifNeeded && isStamped(typesStamp, stamp))) {
    rmSync(join(dist, 'types'), { recursive: true, force: true });
    const status = tool('typescript', 'bin/tsc', ['-p', 'tsconfig.build.json']);
    if (status !== 0) return status;
    writeStamp(typesStamp, stamp);
  }
  return 0;
}

async function bundle(rolldown, { options, output }) {
  const session = await rolldown(options);
  try {
    const result = await session.generate(output);
    const files = result.output.map((item) => ({
      path: join(output.dir, item.fileName),
      content:
        item.type === 'chunk' ? ascii(output.format === 'cjs' ? plainExports(item.code) : item.code) : item.source,
      entry: item.type === 'chunk' && item.isEntry,
    }));
    for (const file of files) if (!file.entry) write(file);
    for (const file of files) if (file.entry) write(file);
    return files.map((file) => file.path);
  } finally {
    await session.close();
  }
}

/**
 * Rolldown exports by getters, since an export may change. Ours do not, and a few hundred functions that do nothing else
 * are felt when a program starts: names that are assigned once are exported as they are.
 */
function plainExports(code) {
  // Modules within that are evaluated later: what they export is assigned then.
  if (code.includes('__esmMin(')) return code;
  const getter = /Object\.defineProperty\(exports,"([\w$]+)",\{enumerable:!0,get:function\(\)\{return ([\w$]+)\}\}\)/g;
  return code.replaceAll(getter, (whole, name, local) => {
    const escaped = local.replaceAll('$', '\\$');
    const assignments = code.match(new RegExp(`(?<![\\w$.])${escaped}([-+*/%&|^?<>]*=(?!=)|\\+\\+|--)`, 'g')) ?? [];
    return assignments.length > 1 ? whole : `exports.${name}=${local}`;
  });
}

/** Other characters only occur in texts. ASCII takes half the memory in V8, and is read without being decoded. */
function ascii(code) {
  return code.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Write by rename, so that a program starting at this moment sees the old file or the new one. */
function write({ path, content }) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

function removeStale(current, folders) {
  const limit = Date.now() - KEEP_STALE_MS;
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (current.has(path)) continue;
      if ((statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? limit) < limit) rmSync(path, { force: true });
    }
  }
}

if (process.argv[1] === import.meta.filename) {
  const flags = new Set(process.argv.slice(2));
  try {
    process.exitCode = await build({ types: !flags.has('--no-types'), ifNeeded: flags.has('--if-needed') });
  } catch (error) {
    process.stderr.write(`build failed: ${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
