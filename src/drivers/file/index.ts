/**
 * Files and devices of the host, as `file` and `host_device`.
 *
 * Here belongs what turns core/host into protocol drivers: options, opening, creating, locks as permissions,
 * holes as block status. System calls themselves belong to core/host.
 */
export { fileDriver } from './file.ts';
export { hostDeviceDriver } from './host-device.ts';
