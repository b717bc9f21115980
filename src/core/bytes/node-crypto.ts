/** Node's cryptography, loaded when it is first used: importing it costs every program two to three milliseconds. */
export function nodeCrypto(): typeof import('node:crypto') {
  return process.getBuiltinModule('node:crypto');
}
