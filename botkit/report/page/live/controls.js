// What a bot lets the page do.
const orderControls = () => [];
const strategyControls = () => [];
const parameterControls = () => [];
