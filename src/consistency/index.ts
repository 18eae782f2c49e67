export type { Surroundings } from './adaptive.js';
export { type Decision, LevelPolicy, type LevelPolicyPorts, type LevelSettings, type Part } from './level-policy.js';
