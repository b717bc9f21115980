/**
 * Trace: the requests of a node, recorded and played back.
 *
 * What belongs here: the records and their text (ours, fio's, blkparse's), writing a trace beside the requests that
 * it is about, reading one of any length, and issuing its requests again, with what is measured on the way. What does
 * not: where requests are seen (`core/block/recorded.ts`), how results are shown, and opening images.
 */
export { COPY_FLAG, errnoOf, type TraceNode, type TraceOp, type TraceRequest, traceOps } from './record.ts';
export { beginRecording, type Recording } from './recorders.ts';
export { type Issued, now } from './ring-writer.ts';
