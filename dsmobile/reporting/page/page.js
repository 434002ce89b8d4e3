for (const place of document.querySelectorAll(".chart")) {
  const specification = JSON.parse(document.getElementById(place.dataset.chart).textContent);
  vegaEmbed(place, specification, { actions: false, ast: true, defaultStyle: false, renderer: "svg" }).then(
    () => { place.dataset.rendered = "yes"; },
    (error) => {
      place.dataset.rendered = "no";
      place.textContent = "This chart could not be drawn; the tables hold its figures. " + error;
    },
  );
}
