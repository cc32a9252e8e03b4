using System.Globalization;
using System.Net;
using System.Text;

namespace Accel.Cli.Reports;

/// <summary>A drawing in one element of the page; colours are classes of its style sheet.</summary>
internal sealed class Svg(double width, double height, string description)
{
    private readonly StringBuilder _inside = new();

    public void Line(double x1, double y1, double x2, double y2, string style) => _inside.Append(
        CultureInfo.InvariantCulture,
        $"<line class=\"{style}\" x1=\"{x1:0.#}\" y1=\"{y1:0.#}\" x2=\"{x2:0.#}\" y2=\"{y2:0.#}\"/>");

    public void Path(IEnumerable<(double X, double Y)> points, string style) => _inside.Append(
        CultureInfo.InvariantCulture, $"<polyline class=\"{style}\" points=\"{string.Join(' ', points.Select(p =>
            string.Create(CultureInfo.InvariantCulture, $"{p.X:0.#},{p.Y:0.#}")))}\"/>");

    public void Dot(double x, double y, string style, string hint) => _inside.Append(CultureInfo.InvariantCulture,
        $"<circle class=\"{style}\" cx=\"{x:0.#}\" cy=\"{y:0.#}\" r=\"3\"><title>{Escaped(hint)}</title></circle>");

    public void Bar(double x, double y, double length, double thickness, string style, string hint) => _inside.Append(
        CultureInfo.InvariantCulture, $"<rect class=\"{style}\" x=\"{x:0.#}\" y=\"{y:0.#}\" width=\"{length:0.#}\" "
            + $"height=\"{thickness:0.#}\" rx=\"2\"><title>{Escaped(hint)}</title></rect>");

    /// <param name="x">Of the anchor.</param>
    /// <param name="y">Of the base line.</param>
    /// <param name="text">What it says.</param>
    /// <param name="anchor">start, middle or end.</param>
    /// <param name="style">Class.</param>
    public void Text(double x, double y, string text, string anchor = "start", string style = "") => _inside.Append(
        CultureInfo.InvariantCulture,
        $"<text class=\"{style}\" x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\">{Escaped(text)}</text>");

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"<svg viewBox=\"0 0 {width:0} {height:0}\" width=\"{width:0}\" role=\"img\" "
            + $"aria-label=\"{Escaped(description)}\">")
        + _inside + "</svg>";

    public static string Escaped(string text) => WebUtility.HtmlEncode(text);
}
