export function configurationMarkdown(): string;
