/// The style of a report's page, light and dark.
///
/// Colours of heat maps are two ramps of one hue: high values stand out from the page in both, and the text in a cell is
/// the one of black and white with more contrast, 4.5 at least. Series have eight hues of about the same weight.
enum StyleSheet {
    static let text =
        layout + light + "@media screen and (prefers-color-scheme:dark){\n" + dark + "}\n"

    private static let layout = """
        *{box-sizing:border-box}
        body{margin:0;background:var(--page);color:var(--ink);
        font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
        main,footer{max-width:1000px;margin:0 auto;padding:0 16px}
        h1{font-size:1.6rem;line-height:1.25;margin:28px 0 6px;overflow-wrap:anywhere}
        h2{font-size:1.05rem;line-height:1.3;margin:0;overflow-wrap:anywhere}
        .summary{margin:0 0 12px;color:var(--soft);overflow-wrap:anywhere}
        dl{display:flex;flex-wrap:wrap;gap:8px 28px;margin:12px 0 20px}
        dl div{min-width:0}dt{font-size:.8rem;color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
        .figures{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px}
        figure{margin:0;padding:16px;background:var(--card);border:1px solid var(--line);border-radius:8px;min-width:0}
        figure.full{grid-column:1/-1}
        figcaption p{margin:2px 0 0;font-size:.875rem;color:var(--soft);overflow-wrap:anywhere}
        .legend{display:flex;flex-wrap:wrap;gap:2px 16px;list-style:none;margin:10px 0 0;padding:0;font-size:.8125rem}
        .legend li{display:flex;align-items:center;gap:5px;min-width:0;overflow-wrap:anywhere}
        .sample{width:26px;height:14px;flex:none}
        figure>svg{display:block;width:100%;height:auto;margin:12px auto 4px}
        .wide{max-width:860px}.any,.narrow{max-width:430px}
        figure>svg.narrow{display:none}
        svg text{font-family:inherit;font-size:12px;fill:var(--soft)}
        svg .axis{fill:var(--ink)}svg .number,svg .name{font-size:11px;fill:var(--ink)}
        svg .v12{font-size:12px}svg .v11{font-size:11px}svg .v10{font-size:10px}svg .v9{font-size:9px}
        .grid{stroke:var(--line);fill:none}.base{stroke:var(--soft);fill:none}
        .s{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
        .faint{stroke-width:1;opacity:.55}
        .d1{stroke-dasharray:7 4}.d2{stroke-dasharray:2 4}.d3{stroke-dasharray:4 4;stroke-width:1.5}
        .m{stroke:var(--card);stroke-width:1}
        .ring{fill:none;stroke:var(--mark);stroke-width:2}
        .front{fill:none;stroke:var(--mark);stroke-width:1.5;stroke-dasharray:5 4}
        .none{fill:var(--line)}
        details{margin-top:8px;font-size:.8125rem}summary{cursor:pointer;color:var(--soft)}
        .scroll{overflow-x:auto;margin-top:6px;max-height:28rem}
        table{border-collapse:collapse;font-variant-numeric:tabular-nums}
        th,td{padding:3px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
        th:first-child{text-align:left;padding-left:0}th{font-weight:600}tbody th{font-weight:400}
        footer{margin:24px auto 40px;font-size:.8125rem;color:var(--soft)}
        footer p{margin:4px 0}code{font-size:.8125rem;overflow-wrap:anywhere}
        @media (max-width:700px){.figures{grid-template-columns:minmax(0,1fr)}figure{padding:12px}
        figure>svg.wide{display:none}figure>svg.narrow{display:block}}

        """

    private static let light = """
        :root{--page:#f4f4f1;--card:#fcfcfb;--ink:#0b0b0b;--soft:#52514e;--line:#dfded9;--mark:#c2410c}
        .s0{stroke:#2a78d6}.f0{fill:#2a78d6}svg .o0{fill:#0b0b0b}.s1{stroke:#d9622b}.f1{fill:#d9622b}
        svg .o1{fill:#0b0b0b}.s2{stroke:#168a5c}.f2{fill:#168a5c}svg .o2{fill:#0b0b0b}.s3{stroke:#8a5cd0}
        .f3{fill:#8a5cd0}svg .o3{fill:#ffffff}.s4{stroke:#b3860b}.f4{fill:#b3860b}svg .o4{fill:#0b0b0b}
        .s5{stroke:#d2488f}.f5{fill:#d2488f}svg .o5{fill:#0b0b0b}.s6{stroke:#12889a}.f6{fill:#12889a}
        svg .o6{fill:#0b0b0b}.s7{stroke:#6b6a63}.f7{fill:#6b6a63}svg .o7{fill:#ffffff}.h0{fill:#eef4fb}
        svg .t0{fill:#0b0b0b}.h1{fill:#e0ebf8}svg .t1{fill:#0b0b0b}.h2{fill:#d1e3f5}svg .t2{fill:#0b0b0b}
        .h3{fill:#c3daf2}svg .t3{fill:#0b0b0b}.h4{fill:#b3d1f0}svg .t4{fill:#0b0b0b}.h5{fill:#a0c5ef}
        svg .t5{fill:#0b0b0b}.h6{fill:#8cbaee}svg .t6{fill:#0b0b0b}.h7{fill:#79aeed}svg .t7{fill:#0b0b0b}
        .h8{fill:#66a2ea}svg .t8{fill:#0b0b0b}.h9{fill:#5496e4}svg .t9{fill:#0b0b0b}.h10{fill:#4389de}
        svg .t10{fill:#0b0b0b}.h11{fill:#317dd8}svg .t11{fill:#0b0b0b}.h12{fill:#2772cc}svg .t12{fill:#ffffff}
        .h13{fill:#2267bb}svg .t13{fill:#ffffff}.h14{fill:#1e5caa}svg .t14{fill:#ffffff}.h15{fill:#195198}
        svg .t15{fill:#ffffff}.h16{fill:#164a8c}svg .t16{fill:#ffffff}.h17{fill:#134381}svg .t17{fill:#ffffff}
        .h18{fill:#103d76}svg .t18{fill:#ffffff}.h19{fill:#0d366b}svg .t19{fill:#ffffff}

        """

    private static let dark = """
        :root{--page:#101010;--card:#1a1a19;--ink:#f5f5f3;--soft:#bdbcb4;--line:#3a3a37;--mark:#ffb37a}
        .s0{stroke:#5598e7}.f0{fill:#5598e7}svg .o0{fill:#0b0b0b}.s1{stroke:#f08a55}.f1{fill:#f08a55}
        svg .o1{fill:#0b0b0b}.s2{stroke:#35b583}.f2{fill:#35b583}svg .o2{fill:#0b0b0b}.s3{stroke:#ab8bea}
        .f3{fill:#ab8bea}svg .o3{fill:#0b0b0b}.s4{stroke:#d9ad35}.f4{fill:#d9ad35}svg .o4{fill:#0b0b0b}
        .s5{stroke:#ea7fb3}.f5{fill:#ea7fb3}svg .o5{fill:#0b0b0b}.s6{stroke:#3fb6c6}.f6{fill:#3fb6c6}
        svg .o6{fill:#0b0b0b}.s7{stroke:#a3a29a}.f7{fill:#a3a29a}svg .o7{fill:#0b0b0b}.h0{fill:#22303f}
        svg .t0{fill:#ffffff}.h1{fill:#203750}svg .t1{fill:#ffffff}.h2{fill:#1f3e61}svg .t2{fill:#ffffff}
        .h3{fill:#1d4572}svg .t3{fill:#ffffff}.h4{fill:#1c4c83}svg .t4{fill:#ffffff}.h5{fill:#1f5494}
        svg .t5{fill:#ffffff}.h6{fill:#215da4}svg .t6{fill:#ffffff}.h7{fill:#2465b5}svg .t7{fill:#ffffff}
        .h8{fill:#2a6fc3}svg .t8{fill:#ffffff}.h9{fill:#377bce}svg .t9{fill:#0b0b0b}.h10{fill:#4387d8}
        svg .t10{fill:#0b0b0b}.h11{fill:#5093e3}svg .t11{fill:#0b0b0b}.h12{fill:#619fe9}svg .t12{fill:#0b0b0b}
        .h13{fill:#74abec}svg .t13{fill:#0b0b0b}.h14{fill:#87b7f0}svg .t14{fill:#0b0b0b}.h15{fill:#9ac3f3}
        svg .t15{fill:#0b0b0b}.h16{fill:#abcdf6}svg .t16{fill:#0b0b0b}.h17{fill:#bbd7f8}svg .t17{fill:#0b0b0b}
        .h18{fill:#cce1fa}svg .t18{fill:#0b0b0b}.h19{fill:#dcebfc}svg .t19{fill:#0b0b0b}

        """
}
