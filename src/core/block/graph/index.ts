/**
 * The graph: which nodes there are, how they hang together, and who may do what.
 *
 * Here belong nodes and edges, permissions and the operations table, transactions, drain, opening from a spec
 * (file names, `json:`, option strings), probing, the policy on what images may refer to, and block status
 * across a chain. Here does not belong how a request travels (request) nor what a user wants of it (backend).
 */
export { BlockGraph, type GraphSettings } from './block-graph.ts';
export { assertMovable, moveEdge, moveUsers, type Replacement, refreshNodes, setChild } from './changes.ts';
export { subtree, whileDrained } from './drain.ts';
export { Edge, type EdgeParent } from './edge.ts';
export { displayName, hasProtocol, localPath, resolveName, schemeOf } from './file-name.ts';
export { freezeChain, linkDown, linksBetween } from './freeze.ts';
export { Node } from './node.ts';
export { type OpenSettings, openNode } from './open.ts';
export { type OperationName, type OperationPart, operations } from './operations.ts';
export { makeFilter, type OwnFilter } from './own-filter.ts';
export { type ReferencePolicy, referencePolicies } from './references.ts';
export { addOverlay, changeBacking, insertFilter, removeFilter, replaceNode, reshape, setBacking } from './reshape.ts';
export { snapshotApply, snapshotCreate, snapshotNode, snapshotRemove } from './snapshot-operations.ts';
export { snapshotSpec } from './snapshot-spec.ts';
export { crumpleSpec, entryOf, type NodeSpec, specFromFileName, specFromOptions } from './spec.ts';
export { type ChainExtent, chainStatus } from './status.ts';
