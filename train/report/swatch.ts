/** How a run is drawn, and the sample of its line that stands in keys and tables. */
import { h, type Attributes, type Markup } from './markup.ts';
import { RUN_COLOURS } from './style.ts';

/** Colour of a run; dashed where the colours begin again. */
export const runLook = (index: number): Attributes => ({
  class: `run${index % RUN_COLOURS}`,
  'stroke-dasharray': index < RUN_COLOURS ? undefined : '6 4',
});

/** A short line in the run's colour and dashes. */
export const swatch = (index: number): Markup =>
  h(
    'svg',
    { class: 'swatch', viewBox: '0 0 26 10', 'aria-hidden': 'true' },
    h('path', { ...runLook(index), class: `line ${runLook(index)['class']}`, d: 'M1 5L25 5' }),
  );
