// Made by Tests/Interop/make_unicode.py of what the Hugging Face library says of each character: do not edit.

/// The tables of the Hugging Face library's dependencies (tokenizers 0.23: Oniguruma and Rust's regex and standard library of Unicode
/// 16, unicode-normalization-alignments of 13 and unicode_categories of 8 or so), as numbers for `UnicodeData.numbers`.
enum UnicodeTables {
    /// General categories: how many scalars, and the place of their category in `UnicodeData.categoryNames`.
    static let categories: StaticString = #"""
        _@@@\BT@VBT@U@Q@T@X@T@PATILATBXATYH@U@T@Q@W@O@WYD@U@X@Q@X`@@@\@TCV@Y@T@W@Y@F@S@X@A@Y@W@Y@XAN@W@DAT@W@N@F@RBN@TVH@X
        FHWD@XGD@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H
        @D@HAD@H@D@H@D@H@D@H@D@H@D@H@D@H@D@HAD@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D
        @H@D@H@D@H@D@H@DAH@D@H@D@HBDAH@D@H@DAH@DBHADCH@DAH@DBHBDAH@DAH@D@H@D@H@DAH@D@HAD@H@DAH@DBH@D@H@DAHAD@F@HBDCF@H@G@D
        @H@G@D@H@G@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@HAD@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@HAD@H@G@D@H@DBH@D@H@D@H@D@H@D@H@D@H@D
        @H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@HFDAH@DAHAD@H@DCH@D@H
        @D@H@D@H@D@HdAD@FZDQECWKEMWDEFW@E@W@EPWoBK@H@D@H@D@E@W@H@DA?@EBD@T@HC?AW@H@TBH@?@H@?AH@DPH@?HHb@D@HADBHBD@H@D@H@D@
        H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@HDD@H@D@X@H@DAHADr@Ho@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@
        D@H@D@H@D@H@D@YDKAJ@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@
        D@H@D@H@D@H@DAH@D@H@D@H@D@H@D@H@D@H@D@HAD@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@
        H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@
        D@H@D@?e@HA?@EETh@D@T@PA?AY@V@?l@K@P@K@TAK@TAK@T@KG?ZFC?CFATJ?EABXAT@VATAYJK@T@ABT_@F@EIFTKILCTAF@KbBF@T@FFK@A@YEK
        AEAK@YCKAFILBFAY@FMT@?@A@F@K]FZKA?xAFJK@FM?IL`@FHKAE@YBT@EA?@KAVUFCK@EHK@EBK@EDKA?NT@?XFBKA?@T@?JFD?WF@WEF@?AAD?HK
        h@F@EWK@A_@K@Iu@F@K@I@K@FBIGKCI@KAI@FFKIFAKATIL@T@ENF@KAI@?GFA?AFA?UF@?FF@?@FB?CFA?@K@FBICKA?AIA?AI@K@FG?@IC?AF@?B
        FAKA?ILAFAVEN@Y@V@F@T@KA?AK@I@?EFC?AFA?UF@?FF@?AF@?AF@?AFA?@K@?BIAKC?AKA?BKB?@KF?CF@?@FF?ILAKBF@K@TI?AK@I@?HF@?BF@
        ?UF@?FF@?AF@?DFA?@K@FBIDK@?AK@I@?AI@KA?@FN?AFAKA?IL@T@VF?@FEK@?@KAI@?GFA?AFA?UF@?FF@?AF@?DFA?@K@F@I@K@ICKA?AIA?AI@
        KF?AK@IC?AF@?BFAKA?IL@Y@FENI?@K@F@?EFB?BF@?CFB?AF@?@F@?AFB?AFB?BFB?KFC?AI@KAIB?BI@?BI@KA?@FE?@IM?ILBNEY@V@YD?@KBI@
        KGF@?BF@?VF@?OFA?@K@FBKCI@?BK@?CKF?AK@?BFA?@FA?AFAKA?ILF?@TFN@Y@F@KAI@TGF@?BF@?VF@?IF@?DFA?@K@F@I@KDI@?@KAI@?AIAKF
        ?AIE?AF@?AFAKA?IL@?AF@IK?AKAIHF@?BF@?h@FAK@FBICK@?BI@?BI@K@F@YC?BF@IFNBFAKA?ILHN@YEF@?@KAI@?QFB?WF@?HF@?@FA?FFB?@K
        C?BIBK@?@K@?GIE?ILA?AI@TK?o@F@KAFFKC?@VEF@EGK@TILATd@?AF@?@F@?DF@?WF@?@F@?IF@KAFHK@FA?DF@?@E@?FK@?ILA?CF_@?@FBYNT@
        Y@TBYAKEYILIN@Y@K@Y@K@Y@K@U@Q@U@QAIGF@?c@FC?MK@IDK@TAKDFJK@?c@K@?GY@KEY@?AYDTCYATd@?j@FAICK@IEK@IAKAIAK@FILETEFAIA
        KCFBK@FBIAFFIBFCKLF@KAIAKEI@K@F@IILBI@KAYe@H@?@HD?@HA?j@D@T@EBDhIF@?CFA?FF@?@F@?CFA?h@F@?CFA?`@F@?CFA?FF@?@F@?CFA?
        NF@?x@F@?CFA?bAFA?BKHTSNB?OFIYE?uAHA?EDA?@PkRF@Y@TPF@\YF@U@QB?jAFBTBMGFF?QFBK@IH?RFAK@IATH?QFAKK?LF@?BF@?AKK?s@FAK
        @IFKGI@KAIJKBT@EBT@V@F@KA?ILE?INE?ET@PCTBK@A@KILE?b@F@Et@FF?DFAKa@F@K@FD?eAFI?^F@?BKCIAKBIC?AI@KEIBKC?@YB?ATIL]FA?
        DFJ?k@FC?YFE?IL@NB?a@YVFAKAI@KA?ATt@F@I@K@IFK@?@K@I@KAIGKEIIKA?@KILE?ILE?FT@EETA?MK@JOKp@?CK@In@F@K@IDK@I@KDI@KAIG
        F@?ATILFTIYHKHYBTAK@I]F@ICKAIAK@IBKAFILk@F@K@IAKBI@K@IBKAIG?CTc@FGIGKAIAKB?DTILB?BFIL]FEEATHD@H@DD?j@HA?BHGTG?BK@T
        LK@IFKCF@KEF@KAF@IAK@FD?k@D~@ELD@Ea@Dd@E_AK@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@
        D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@
        H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@HH
        D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@
        H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@HHDGHEDA?EHA?GDGHGDGHEDA?EHA?GD@?@
        H@?@H@?@H@?@HGDGHMDA?GDGGGDGGGDGGDD@?ADCH@G@W@DBWBD@?ADCH@GBWCDA?ADCH@?BWGDDHBWA?BD@?ADCH@GAW@?J\DAEPAT@S@R@UAS@R@
        U@SGT@Z@[DA@\HT@S@RCTAOBT@X@U@QJT@X@T@OIT@\DA@?IA@N@EA?ENBX@U@Q@EINBX@U@Q@?LEB?`@VN?LKCJ@KBJKKN?AY@HCY@HAY@DBHADBH
        @D@Y@HAY@XDHEY@H@Y@H@Y@H@YCH@Y@DCH@DCF@DAYADAHDX@HCD@Y@XAY@D@YONb@M@H@DCM@NAYC?DXDYAXCY@XAY@XAY@XFY@X^YAXAY@X@Y@X^
        YkGXGY@U@Q@U@QSYAXFY@U@QpAY@X]YXXg@YEXgAYU?JYT?{@NmAYUNvDY@XHY@Xu@YGXnBY@XwFY@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q]Nk@YDX@U
        @Q^X@U@Q@U@Q@U@Q@U@Q@U@QOX_GYbCX@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q~@X@U@Q@U@Q_@X@U@QaGXo@YTXAYEXf@YA?_@Y
        @?hBYo@Ho@D@H@DBHAD@H@D@H@D@H@DCH@D@HAD@HEDAEBH@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@
        H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@
        D@H@D@H@D@H@D@HADEY@H@D@H@DBK@H@DD?CT@NATe@D@?@DD?@DA?w@FF?@E@TM?@KVFH?FF@?FF@?FF@?FF@?FF@?FF@?FF@?FF@?_@KAT@S@R@S
        @RBT@S@R@T@S@RHT@PAT@P@T@S@RAT@S@R@U@Q@U@Q@U@Q@U@QDT@EITAPCT@P@T@ULTAYBT@U@Q@U@Q@U@Q@U@Q@Pa@?YY@?xAYK?uEYY?OY@\BT@
        Y@E@F@M@U@Q@U@Q@U@Q@U@Q@U@QAY@U@Q@U@Q@U@Q@U@Q@P@UAQ@YHMCKAI@PDEAYBM@E@F@TAY@?uAFA?AKAWAE@F@PyAF@TBE@FD?j@F@?}AF@?A
        YCNIY_@Fe@YH?@YOF^Y@?IN]YGN@YNN_@YINf@YNN_IY_mEF_AYtoSF@Evb@FB?v@YH?g@FEEATkGF@EBTOFILAFS?@H@D@H@D@H@D@H@D@H@D@H@D
        @H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@F@KBJ@TIK@T@E@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D
        @H@D@H@D@H@D@H@D@H@D@H@DAEAKeAFIMAKETG?VWHEAW@H@D@H@D@H@D@H@D@H@D@H@D@HBD@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@
        H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@EGD@H@D@H@DAH@D@H@D@H@D@H@D@H@
        D@EAW@H@D@H@D@F@H@D@HBD@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@D@H@DDH@DDH@D@H@D@H@D@H@D@H@D@H@D@H@D@H@DCH@D@H@DAH@DA?@
        H@D@?@D@?@D@H@D@H@D@H@D@HT?BE@H@D@FAE@DFF@KBF@KCF@KVFAIAK@ICY@KB?ENAY@V@YE?s@FCTG?AIq@FOIAKG?ATILE?QKEFBT@F@TAF@KI
        L[FGKATVFJKAIJ?@T\FB?BK@In@F@KAICKAIAKBILT@?@EILC?ATDF@K@EHFILDF@?h@FEKAIAKAIAKH?BF@KGF@K@IA?ILA?CTOF@EEFBY@F@I@K@
        Iq@F@K@FBKAFAKDFAK@F@K@FW?AF@EATJF@IAKAIAT@FAE@I@KI?EFA?EFA?EFH?FF@?FF@?j@D@WCEHD@EAWC?oADb@FAI@KAI@KAI@T@I@KA?ILE
        ?c|IFK?VFC?p@FC?__AC_gEBmJFA?iBFe@?FDK?DDD?@F@KIF@XLF@?DF@?@F@?AF@?AF@?kBFPWO?jJF@Q@UOY_AFA?u@FF?@Y_@?KF@VBYOKFT@U
        @Q@TE?OK@TAPAO@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q@U@Q@U@QAT@U@QCTBOBT@?CT@P@U@Q@U@Q@U@QBT@X@PBX@?@T@VATC?DF@?fCFA?@A@?BT@VBT@
        U@Q@T@X@T@PATILATBXATYH@U@T@Q@W@O@WYD@U@X@Q@X@U@Q@T@U@QATIF@El@FAE^FB?EFA?EFA?EFA?BFB?AV@X@W@YAV@?@YCXAYI?BAAYA?KF
        @?YF@?RF@?AF@?NFA?MFa@?zBFD?BTC?l@NB?HYt@MCNPYANBY@?LYB?@Yn@?l@Y@KaC?\FB?p@FN?@KZNC?_@FCNH?SF@MGF@MD?e@FDKD?]F@?@T
        c@FC?GF@TDMi@?g@Hg@DmAFA?ILE?c@HC?c@DC?g@FG?s@FJ?@TJH@?NH@?FH@?AH@?JD@?ND@?FD@?ADB?s@FK?vHFH?UFI?GFW?EE@?i@E@?HEdA
        ?EFA?@F@?k@F@?AFB?@FA?VF@?@TGNVFAYFN^FG?HNo@?RF@?AFD?DNUFENB?@TYFD?@T_A?w@FC?ANAFONA?m@N@FBK@?AKD?CKCF@?BF@?\FA?BK
        C?@KHNF?HTF?\FAN@T\FBN_@?GF@Y[FAKC?DNFTH?u@FB?FTUFA?GNRFD?GNQFF?CTK?FNoA?hAFv@?r@HL?r@DF?ENc@FCKG?ILE?ILCF@E@FUHB?
        DK@P@EUDG?AXoE?^N@?i@F@?AK@PA?AFO?BFv@?CK\FIN@FG?UFJKCNDTU?QFCKCTe@?TFFNS?VFH?@I@K@It@FNKFTC?SNIL@KAFAK@FH?BK@Il@F
        BICKAIAKAT@ACT@KI?@AA?XFF?ILE?BKc@FDK@IGK@?ILCT@FAI@FG?b@F@KAT@FH?AK@Io@FBIHKAICFCTCK@T@I@KIL@F@T@FBT@?SNJ?QF@?XFB
        IBKAI@K@IAKET@KAF@K}@?FF@?@F@?CF@?NF@?IF@TE?n@F@KBIGKD?ILE?AKAI@?GFA?AFA?UF@?FF@?AF@?DF@?AK@FAI@KCIA?AIA?BIA?@FE?@
        ID?DFAIA?FKB?DKJ?IF@?@FA?@F@?e@F@?@FBIEK@?@IA?@I@?CI@?AI@K@I@K@F@K@FAT@?ATG?AK\?t@FBIGKAIBK@I@KCFDTILAT@?@T@KBF]?o
        @FBIEK@I@KCIAK@IAKAF@T@FG?ILeD?n@FBICKA?CIAK@IAKVTCFAKa@?o@FBIGKAI@K@IAKBT@FJ?ILE?LTR?j@F@K@I@KAIEK@I@K@F@TE?ILE?S
        L[?ZFA?@K@I@KAICK@IDKC?ILANBT@YFFxD?k@FBIHK@IAK@TcB?_@H_@DILHNK?GFA?@FA?GF@?AF@?WFEI@?AIA?AK@I@K@F@I@F@I@KBTH?ILeA
        ?GFA?f@FBICKA?AKCI@K@F@T@F@IZ?@FIKg@FEK@I@FCKGT@KG?@FEKAIBKm@FLK@IAKBT@FDTL?hAFF?ITuD?`@F@TM?ILE?HF@?d@F@IFK@?EK@I
        @K@FDTI?ILRNB?AT]FA?UK@?@IFK@IAK@IAKhA?FF@?AF@?e@FEKB?@K@?AK@?FK@F@KG?ILE?EF@?AF@?_@FDI@?AK@?AI@K@I@K@FF?ILuH?RFAK
        AIATF?AK@F@ILF@?a@FAIDKB?AI@K@I@KLTIL@KtA?@FN?TNGYCVPYL?@Ty[FeB?nBM@?DTJ?cEFkqA?`BFATL?o`@FOA@KEFNKI?z{BFD?fQFxtE?
        ]FKKBIBKILeu@?xPFF?^F@?ILC?ATnAF@?ILE?]FA?DK@TI?o@FFKDTCYCE@T@YI?IL@?FN@?TFD?RFoL?BEg@FAEBTILeE?_@H_@DVNCTdB?jAFC?
        @K@Fv@IF?CKLE_A?AE@T@E@KJ?AIM?w~DFG?ue@Fh@?IFfvG?CE@?FE@?AE@?bHFN?@F\?BFA?@FM?CFG?kKFcgA?jBFD?LFB?HFF?IFA?@YAK@TCA
        {yB?oFYILE?sLYkA?m@KA?VKH?sBY{@?uFYI?f@YA?{@YAIBKBYEIGAGKAYFK]YCK|@YT?aAYBK@YyB?SNK?SNK?vAYH?XNfC?YHYDYHFD@?QDYHYD
        @H@?AHA?@HA?AHA?CH@?GHCD@?@D@?FD@?JDYHYDAH@?CHA?GH@?FH@?YDAH@?CH@?DH@?@HB?FH@?YDYHYDYHYDYHYDYHYDYHYDYH[DA?XH@XXD@X
        EDXH@XXD@XEDXH@XXD@XEDXH@XXD@XEDXH@XXD@XED@H@DA?q@L_OYv@KCYq@KGY@KMY@KAYDTN?DK@?NKoa@?ID@FSDE?EDtE?FK@?PKA?FK@?AK@
        ?DKD?}@E`@?@KoB?l@FB?FKFEA?ILC?@F@Y_I?]F@KP?k@FCKILD?@VoM?ZF@ECKILuE?]FAK@FILC?@T_N?FF@?CF@?AF@?NF@?dEFA?HNFKh@?a@
        Ha@DFK@EC?ILC?ATpW?z@N@YBN@VCNkA?l@N@YNNaE?CF@?ZF@?AF@?@FA?@F@?IF@?CF@?@F@?@FE?@FC?@F@?@F@?@F@?BF@?AF@?@FA?@F@?@F@
        ?@F@?@F@?@F@?AF@?@FA?CF@?FF@?CF@?CF@?@F@?IF@?PFD?BF@?DF@?PFs@?AXmG?k@YC?cBYK?NYA?NY@?NY@?d@YI?LN`DYw@?\YL?k@YC?HYF
        ?AYM?EYyC?zFYDWwUYC?PYB?LYB?vBYC?~AYE?KYC?@YN?KYC?w@YG?IYE?g@YG?]YA?KYC?AY}@?sIYK?MYA?LYB?IYD?w@YF?NYA?JYE?HYF?rCY
        @?{AYILe_@?_vh@F_@?y`CFE?}EFA?asDFM?phFFN?mRFalA?}OFan@?jyCFD?_bCFpavT?@A]?_BA_C?oFKoo~@?}~~@BA?}~~@BA?
        """#

    /// Scripts: how many scalars, and the place of their script in `scriptNames`.
    static let scripts: StaticString = #"""
        `AWYhAEWYhAn@W@hANW@hADWVhA@W^hA@W`MhAf@WDhADWAKSWoBx@Ck@@WBk@AbDCk@@W@k@CbD@k@@W@k@@WBk@@bD@k@@bDSk@@bD~@k@MXOk@d
        C\Ax@hD\@bDe@CAbDq@CAbDBC@bDv@u@GbDZu@CbDEu@JbDDB@WEB@WMB@WBB@W_@B@WIBJx@YB@x@kBB@Wa@BMnC@bD{@nCAbDBnCo@Bq@yCMbDz@
        gBAbDBgBm@aCAbDNaC@bD[sAAbD@sA@bDJnCDbD^B@bDABDbDjAB@W\BpA^Cx@N^AWY^CI@bDGIAbDAIAbDUI@bDFI@bD@IBbDCIAbDHIAbDAIAbDC
        IGbD@ICbDAI@bDDIAbDXIAbDBn@@bDEn@CbDAn@AbDUn@@bDFn@@bDAn@@bDAn@@bDAn@AbD@n@@bDDn@CbDAn@AbDBn@BbD@n@FbDCn@@bD@n@FbD
        Pn@IbDBl@@bDHl@@bDBl@@bDUl@@bDFl@@bDAl@@bDDl@AbDIl@@bDBl@@bDBl@AbD@l@NbDCl@AbDKl@FbDFl@@bDBvB@bDGvBAbDAvBAbDUvB@bD
        FvB@bDAvB@bDDvBAbDHvBAbDAvBAbDBvBFbDBvBCbDAvB@bDDvBAbDQvBIbDAuC@bDEuCBbDBuC@bDCuCBbDAuC@bD@uC@bDAuCBbDAuCBbDBuCBbD
        KuCCbDDuCBbDBuC@bDCuCAbD@uCEbD@uCMbDTuCDbDLxC@bDBxC@bDVxC@bDOxCAbDHxC@bDBxC@bDCxCFbDAxC@bDBxCAbD@xCAbDCxCAbDIxCFbD
        HxCL}@@bDB}@@bDV}@@bDI}@@bDD}@AbDH}@@bDB}@@bDC}@FbDA}@EbDA}@@bDC}@AbDI}@@bDB}@KbDLrA@bDBrA@bDr@rA@bDBrA@bDErACbDOr
        AAbDYrA@bDBgC@bDQgCBbDWgC@bDHgC@bD@gCAbDFgCBbD@gCCbDEgC@bD@gC@bDGgCEbDIgCAbDBgCKbDy@zCCbD@W[zCd@bDAgA@bD@gA@bDDgA@
        bDWgA@bD@gA@bDVgAAbDDgA@bD@gA@bDFgA@bDIgAAbDCgA_@bDgA{C@bDc@{CCbDf@{C@bDc@{C@bDN{C@bDF{CCWA{Cd@bD_DaBe@g@@bD@g@DbD
        @g@AbDj@g@@WCg@_Gq@hAe@@bDCe@AbDFe@@bD@e@@bDCe@AbDh@e@@bDCe@AbD`@e@@bDCe@AbDFe@@bD@e@@bDCe@AbDNe@@bDx@e@@bDCe@AbDb
        Ae@AbD_@e@BbDYe@EbDuAUAbDEUAbD_SP\jBBbDjA`CBWJ`CFbDUoCHbD@oCTs@AWHbDSOKbDLpC@bDBpC@bDApCKbD}AcAAbDIcAEbDIcAEbDA~AA
        W@~A@WS~AEbDxA~AFbDj@~ADbDeAPIbD^jA@bDKjACbDKjACbD@jABbDKjA]qCAbDDqCJbDk@eBCbDYeBEbDJeBBbDAeB_@cA[NAbDAN~@rC@bD\rC
        AbDJrCEbDIrCEbDMrCAbD^x@p@bDlAE@bDq@E_AkCs@HGbDCHw@iABbDNiABbDBiAo@kBJ\DbDj@g@AbDBg@GkCGbDBx@@WLx@@WFx@CW@x@EW@x@B
        WAx@@WDbDe@hADk@@\p@hADk@ChADk@LhA@\eAhA@k@_Ax@_GhAUk@AbDEk@AbDe@k@AbDEk@AbDGk@@bD@k@@bD@k@@bD@k@@bD^k@AbDt@k@@bDN
        k@@bDMk@AbDEk@@bDRk@AbDBk@@bDHk@@bDKWAx@vAW@bDJW@hAAbDJW@hANW@bDLhABbD`@WNbD`@x@NbDe@W@k@BWAhAEW@hAZW@hAPWh@hABWCb
        DySWUbDJWTbD_\W_GMsRWAbD_@W@bDhBW_Bh@_@hAsBXDbDFXe@g@@bD@g@DbD@g@AbDw@|CFbDA|CMbD@|CVe@HbDFe@@bDFe@@bDFe@@bDFe@@bD
        Fe@@bDFe@@bDFe@@bDFe@@bD_@\}AWa@bDYp@@bDxAp@KbDuEp@YbDTW@p@@W@p@XWHp@Cx@Aq@GWCp@CW@bDuAv@AbDAx@AWBv@@WyA~@AWB~@DbD
        j@K@bD}Aq@@bDOW_@Ke@WHbD@WO~@^q@@bD_AW^q@pAWn@~@@WwA~@gDW_mEp@_AW_oSp@lc@hDBbDv@hDHbDo@mAkHcDSbD_B\wAFGbDa@WeBhABW
        bAhAAbDAhA@bD@hA@bDGhATbDMhAl@mCBbDIWEbDw@|BGbDeAbCGbDKbCEbD_@^m@`A@W@`Ac@_CJbD@_C\q@BbDmA{@@bD@WI{@CbDA{@^aB@bDv@
        THbDMTAbDITAbDCT_@aBbAsCWbDDsCVxAIbDEe@AbDEe@AbDEe@HbDFe@@bDFe@@bDj@hA@WHhA@k@ChAAWCbDoAUm@xAAbDIxAEbDc|Iq@KbDVq@C
        bDp@q@cgGbDmJp@AbDiBp@e@bDFhAKbDDCDbDYu@@bDDu@@bD@u@@bDAu@@bDAu@@bDIu@rBBObDjJBAWoABAbDu@BFbD@B_@bDOBOx@IWEbDMx@A\
        b@W@bDRW@bDCWCbDDB@bDfCBAbD@W@bD_@WYhAEWYhAJWI~@@Wl@~@AW^q@BbDEq@AbDEq@AbDEq@AbDBq@BbDFW@bDFWIbDDWAbDKlA@bDYlA@bDR
        lA@bDAlA@bDNlAAbDMlAa@bDzBlADbDBWCbDl@WBbDHWnAk@@bDLWBbD@k@n@bDl@W@x@aCbD\nABbDp@QNbD@x@ZWCbDc@nBHbDBnBZi@DbDj@pBD
        bD]aD@bD@aDc@qBCbDMqBi@bDoA]o@dC]xBAbDIxBEbDc@wBCbDc@wBCbDg@c@GbDs@RJbD@RJdD@bDNdD@bDFdD@bDAdD@bDJdD@bDNdD@bDFdD@b
        DAdDBbDs@~CKbDvHkAHbDUkAIbDGkAWbDEhA@bDi@hA@bDHhAdAbDEZAbD@Z@bDk@Z@bDAZBbD@ZAbD@ZUw@@bDHw@_@zB^bBGbDHbBo@bDRt@@bDA
        t@DbDDt@[}BBbD@}BYoADbD@oA_AbD_@{AWzACbDSzAAbDm@zACaA@bDAaADbDGaA@bDBaA@bD\aAAbDBaACbDIaAFbDHaAFbD_@sB_@oB_@bDf@tA
        CbDKtAHbDu@DBbDFDUz@AbDGz@Ry@DbDGy@Q~BFbDC~BKbDF~BoAbDhAtBv@bDr@mBLbDr@mBFbDEmBg@r@GbDIr@EbDe@f@BbD\f@GbDAf@oEbD^B
        @bDi@gD@bDBgDAbDAgDObDBBv@bDCBg@rBGbDi@hCUbDYuBe@bD[VSbDVd@HbDmALCbDc@LHbD@LbA|@IbD@|@AbDXiCFbDIiCEbDt@S@bDQSGbDf@
        pAHbD_BcC@bDSgCJbDQdA@bDn@dA}@bDF`B@bD@`B@bDC`B@bDN`B@bDJ`BEbDz@eADbDIeAEbDCj@@bDGj@AbDAj@AbDUj@@bDFj@@bDAj@@bDDj@
        @bD@x@Hj@AbDAj@AbDBj@AbD@j@EbD@j@DbDFj@AbDFj@BbDDj@JbDI`D@bD@`DAbD@`D@bDe@`D@bDI`D@bD@`DAbD@`D@bDC`D@bDI`D@bDA`DGb
        DA`D\bD{AfB@bDDfB]bDgA}CGbDI}CeDbDu@eCAbDe@eCa@bDdA}AJbDI}AEbDL~ARbDy@tCEbDItCEbDSaB[bDZ@AbDN@CbDV@xDbD{@`@cBbDrAf
        DKbD@fDF_@AbD@_@AbDG_@@bDA_@@bD]_@@bDA_@AbDK_@HbDI_@eAbDGdBAbDm@dBAbDJdBZbDgAiDGbDrAjCLbDOPx@{BFbDI^uDbDa@lCMbDIlC
        EbDHJ@bDl@J@bDMJIbD\JBbD_@uAAbDUuA@bDMuAhAbDFvA@bDAvA@bDk@vABbD@vA@bDAvA@bDHvAGbDIvAEbDEm@@bDAm@@bDd@m@@bDAm@@bDEm
        @FbDIm@uHbDXqAFbDP_A@bDh@_ABbD\_AtAbD@mANbDq@uCLbD@uCy[YeBbDnBY@bDDYJbDcEYkqAbDbB[LbDua@b@IbDz{Bb@DbDfQAxtEbDy@o@e
        u@bDxPFFbD^_B@bDI_BCbDA_BnAvC@bDIvCEbD]GAbDEGIbDeAyBIbDIyB@bDFyB@bDTyBDbDRyBoLbDy@fAeEbDzAwAdBbDjA|ACbDx@|AFbDP|A_
        AbD@wC@hBAp@@bAJbDAp@MbDw~DwCGbD_WwCuMbAh@bD@bAHwCfvGbDC~@@bDF~@@bDA~@@bD@~@~Gv@B~@NbD@v@\bDBv@AbD@~@MbDC~@GbDkKhB
        cgAbDjBa@DbDLa@BbDHa@FbDIa@AbDCa@CW{yBbDyFWEbDsLWkAbDm@x@AbDVx@HbDsBW{@bDuFWIbDf@WAbD}@WBx@PWGx@AWFx@]WCx@|@WTbDeA
        k@yBbDSWKbDSWKbDvAWHbDXWfCbDtAW@bDfAW@bDAWAbD@WAbDAWAbDCW@bDKW@bD@W@bDFW@bD`AW@bDCWAbDGW@bDFW@bD[W@bDCW@bDDW@bD@WB
        bDFW@bDsIWAbDcHWAbDq@WkSfCNbDDfC@bDNfCoa@bD^hAEbDEhAtEbDFh@@bDPh@AbDFh@@bDAh@@bDDh@DbD}@\`@bD@\oBbDl@iBBbDMiBAbDIi
        BCbDAiB_IbD^_DPbDy@eDDbD@eDoMbDi@cBuEbDj@lBCbD@lB_NbDFe@@bDCe@@bDAe@@bDNe@@bDdEyAAbDOyAh@bDkA?CbDI?CbDA?pWbDcAWkAb
        D|@WaEbDCB@bDZB@bDAB@bD@BAbD@B@bDIB@bDCB@bD@B@bD@BEbD@BCbD@B@bD@B@bD@B@bDBB@bDAB@bD@BAbD@B@bD@B@bD@B@bD@B@bD@B@bDA
        B@bD@BAbDCB@bDFB@bDCB@bDCB@bD@B@bDIB@bDPBDbDBB@bDDB@bDPBs@bDABmGbDk@WCbDcBWKbDNWAbDNW@bDNW@bDd@WIbDmDWw@bDYW@v@AWL
        bDk@WCbDHWFbDAWMbDEWyCbDw]WCbDPWBbDLWBbDvBWCbD~AWEbDKWCbD@WNbDKWCbDw@WGbDIWEbDg@WGbD]WAbDKWCbDAW}@bDsIWKbDMWAbDLWB
        bDIWDbDw@WFbDNWAbDJWEbDHWFbDrCW@bDeBWe_@bD_vh@p@_@bDy`Cp@EbD}Ep@AbDasDp@MbDphFp@NbDmRp@alAbD}Op@an@bDjyCp@DbD_bCp@
        pavTbD@W]bD_BW_CbDoFx@oo~DbD
        """#

    /// Scripts by name.
    static let scriptNames = [
        "Adlam", "Ahom", "Anatolian_Hieroglyphs", "Arabic", "Armenian", "Avestan", "Balinese", "Bamum", "Bassa_Vah",
        "Batak", "Bengali", "Bhaiksuki", "Bopomofo", "Brahmi", "Braille", "Buginese", "Buhid", "Canadian_Aboriginal",
        "Carian", "Caucasian_Albanian", "Chakma", "Cham", "Cherokee", "Chorasmian", "Common", "Coptic", "Cuneiform",
        "Cypriot", "Cypro_Minoan", "Cyrillic", "Deseret", "Devanagari", "Dives_Akuru", "Dogra", "Duployan",
        "Egyptian_Hieroglyphs", "Elbasan", "Elymaic", "Ethiopic", "Garay", "Georgian", "Glagolitic", "Gothic",
        "Grantha", "Greek", "Gujarati", "Gunjala_Gondi", "Gurmukhi", "Gurung_Khema", "Han", "Hangul",
        "Hanifi_Rohingya", "Hanunoo", "Hatran", "Hebrew", "Hiragana", "Imperial_Aramaic", "Inherited",
        "Inscriptional_Pahlavi", "Inscriptional_Parthian", "Javanese", "Kaithi", "Kannada", "Katakana", "Kawi",
        "Kayah_Li", "Kharoshthi", "Khitan_Small_Script", "Khmer", "Khojki", "Khudawadi", "Kirat_Rai", "Lao", "Latin",
        "Lepcha", "Limbu", "Linear_A", "Linear_B", "Lisu", "Lycian", "Lydian", "Mahajani", "Makasar", "Malayalam",
        "Mandaic", "Manichaean", "Marchen", "Masaram_Gondi", "Medefaidrin", "Meetei_Mayek", "Mende_Kikakui",
        "Meroitic_Cursive", "Meroitic_Hieroglyphs", "Miao", "Modi", "Mongolian", "Mro", "Multani", "Myanmar",
        "Nabataean", "Nag_Mundari", "Nandinagari", "New_Tai_Lue", "Newa", "Nko", "Nushu", "Nyiakeng_Puachue_Hmong",
        "Ogham", "Ol_Chiki", "Ol_Onal", "Old_Hungarian", "Old_Italic", "Old_North_Arabian", "Old_Permic",
        "Old_Persian", "Old_Sogdian", "Old_South_Arabian", "Old_Turkic", "Old_Uyghur", "Oriya", "Osage", "Osmanya",
        "Pahawh_Hmong", "Palmyrene", "Pau_Cin_Hau", "Phags_Pa", "Phoenician", "Psalter_Pahlavi", "Rejang", "Runic",
        "Samaritan", "Saurashtra", "Sharada", "Shavian", "Siddham", "SignWriting", "Sinhala", "Sogdian",
        "Sora_Sompeng", "Soyombo", "Sundanese", "Sunuwar", "Syloti_Nagri", "Syriac", "Tagalog", "Tagbanwa", "Tai_Le",
        "Tai_Tham", "Tai_Viet", "Takri", "Tamil", "Tangsa", "Tangut", "Telugu", "Thaana", "Thai", "Tibetan",
        "Tifinagh", "Tirhuta", "Todhri", "Toto", "Tulu_Tigalari", "Ugaritic", "Unknown", "Vai", "Vithkuqi", "Wancho",
        "Warang_Citi", "Yezidi", "Yi", "Zanabazar_Square",
    ]

    /// Binary properties by name.
    static let properties: [(String, StaticString)] = [
        ("Alphabetic", alphabetic),
        ("Uppercase", uppercase),
        ("Lowercase", lowercase),
        ("Emoji", emoji),
        ("Emoji_Presentation", emojiPresentation),
        ("Emoji_Modifier", emojiModifier),
        ("Emoji_Modifier_Base", emojiModifierBase),
        ("Emoji_Component", emojiComponent),
        ("Extended_Pictographic", extendedPictographic),
        ("ID_Start", iDStart),
        ("ID_Continue", iDContinue),
        ("XID_Start", xIDStart),
        ("XID_Continue", xIDContinue),
        ("Cased", cased),
        ("Case_Ignorable", caseIgnorable),
        ("Math", math),
        ("Hex_Digit", hexDigit),
        ("ASCII_Hex_Digit", aSCIIHexDigit),
        ("Default_Ignorable_Code_Point", defaultIgnorableCodePoint),
        ("Diacritic", diacritic),
        ("Dash", dash),
        ("Hyphen", hyphen),
        ("Ideographic", ideographic),
        ("Unified_Ideograph", unifiedIdeograph),
        ("Radical", radical),
        ("Quotation_Mark", quotationMark),
        ("Terminal_Punctuation", terminalPunctuation),
        ("Sentence_Terminal", sentenceTerminal),
        ("Variation_Selector", variationSelector),
        ("Pattern_Syntax", patternSyntax),
        ("Pattern_White_Space", patternWhiteSpace),
        ("Join_Control", joinControl),
        ("Grapheme_Extend", graphemeExtend),
        ("Extender", extender),
        ("Noncharacter_Code_Point", noncharacterCodePoint),
        ("Regional_Indicator", regionalIndicator),
        ("Soft_Dotted", softDotted),
        ("White_Space", whiteSpace),
    ]

    /// `Alphabetic`.
    private static let alphabetic: StaticString = #"""
        `AYEYn@@I@C@DV@^@iMCKMDF@@@uA@\Q@AAC@@E@@B@@@S@rA@jCGeD@e@A@Eh@f@M@@@A@A@@GZCC\JDw@@FMeB@GCGCBIBA@Oo@LdBW`@HAC@DWA
        RRXFJDW@EG@Gi@IKBFEkA@O@BCNLR@GAAAU@F@@BCBGAAAA@@G@CA@DKAI@CB@ECAAU@F@A@A@ACDCAAAC@FC@@PEJB@H@B@U@F@A@DBH@B@AB@NCT
        CCB@GAAAU@F@A@DBGAAAAHACA@DL@OA@EBB@CBA@@@ABABBBKCDBB@BB@E@g@L@B@V@OBG@B@BGA@BA@AC[C@G@B@V@I@DBG@B@BGAEA@CLBKL@B@h
        @AG@B@B@@DCFDUE@B@QBW@H@@AFGE@@@GQALy@DFE@r@A@@@D@W@@@R@BAD@@E@MC_@@~@G@c@CRCO@c@bAv@@@ADO_AICAe@@@D@Aj@@lI@CAF@@@
        CAh@@CA`@@CAF@@@CAN@x@@CAbAd@OOuAAEBkRAP@YDjABJFSJTKSKL@B@AKs@ARM@C@bAxAFj@DeAI^@KCHV]ADJk@CYu@[C~@ASq@@VAJBp@s@@N
        @Gr@i@ACIk@@JMv@UBIc@AJDj@ABh@C@E@AB@D_ERa@JuGAEAe@AEAG@@@@@@@^At@@F@@BB@FBCAECLDB@FsB@L@OLdB@C@AI@@BDE@@@@@@C@JAC
        DDC@Ph@lXs@uw@dFECBAKe@@@D@Aw@F@OVHF@F@F@F@F@F@F@F@_@n@@tMBXHFDADCuAEB@yA@CDj@@}AP_@o@O_O_mE_AlsTbAm@AlGBOIASn@DGB
        pBf@HAfBAbAAA@@@GTS@`@Ws@KcA@@k@EB@@BI`@Db@L\Br@@KN@OOID@v@HMQVBdA@@@@WBAOACJEAEAEHF@F@j@@MEzBTc|IKVCp@cgGmJAiBe@F
        KDDK@L@D@@@A@A@kB`@jJQ_AAu@g@KsBD@fCc@YEYJxABEAEAEABb@K@Y@R@A@NAMa@zBdAt@jG\Bp@n@_@L]Dj@D]Ac@CG@Di@}CQc@Cc@Cg@Gs@K
        J@N@F@A@J@N@F@ABs@KvHHUIGWE@i@@HdAEA@@k@@AB@AVIVH^`AR@AIUIYeAw@EA_AC@ADG@B@\i@\B\b@G@[Zu@IUIRLQmBhAv@r@Lr@Lg@a@[B@
        DVyFi@@ABAOBv@@B\I@GUi@Qm@TZVHeAj@DIx@H@LXVr@PCGb@B@H_A@CHAI@@@b@Q@a@A@EC}@F@@@C@N@IFx@VC@GAAAU@F@A@DBGAAAAB@E@DF[
        I@@A@@e@@I@@A@@C@AB@@@k@aA@B@CSB]aAAA@@wDu@AFXEa@~@@@B@z@u@A@fAZAMTFxDx@fB_A^GA@AG@A@]@AAAAC|AGAm@AE@@@AZr@AIPgAD@
        QhAfE`@^H@l@@F@@p@]AU@MhAF@A@k@B@@A@B@@AAWE@A@d@@A@C@@fIVHP@h@BBnB@nAy[eBnBPcEkqA`BNo`@PEXz{BDfQxtEn@pu@xPF^PnAP]Q
        o@OC^TDRoLl@rE_A_CjACx@FP_AA@@KAMw~DGue@h@IfvGC@F@A@bHN@\BA@MCGkKcgAjBDLBHFIC@`zDtA@fA@AA@AAAC@K@@@F@`A@CAG@F@[@C@
        D@@BF@sIAX@X@^@X@^@X@^@X@^@X@Gsx@^EEtEF@PAF@A@DD}@`@@oBl@IFO@`I]Qk@cN[cF]A@nNF@C@A@N@dEz@cAB@B@sd@C@Z@A@@A@@I@C@@@
        @E@C@@@@@@B@A@@A@@@@@@@@@@A@@AC@F@C@C@@@I@PDB@D@PsRYEYEYurB_vh@_@y`CE}EAasDMphFNmRalA}Oan@jyCD_bC
        """#

    /// `Uppercase`.
    private static let uppercase: StaticString = #"""
        `AYdBV@F`@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@A@@@@@@@@@@@@@@@A@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
        @@@@@@@@@@@@@@A@@@@BA@@@A@BAC@A@BBA@A@@@@@A@@A@@A@B@@@AB@F@A@A@A@@@@@@@@@@@@@@@A@@@@@@@@@@@@@@@@@A@A@@B@@@@@@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@FA@AA@@C@@@@@@@@`H@@@B@G@E@@B@@@A@P@Hb@@ABB@@@@@@@@@@@@@@@@@@@@@@@D
        @A@@AAr@o@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@H@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@A@@@@@@@@@@@@A@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@Ae@hyAe@@@D@qUuArcA@E
        j@AB_I@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@H@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@HGGEIGGGGEJ@@@@@@@GGgACKCKCKDJCeG@C@BBABA@BDE@@@@@@CACIAD@YOR@qXYox@o@o@@@BA@@@@@@C@@A@GB
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@G@@@C@li]@@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@R@@@@@@@@@@@@@@@@@@@@@@@@@@@fC@@@@@@@@@@@@@B@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@I@@@@A@@@@@@@@C@@@A@@@B@@@@@@@@@@@@@@@@@@@@D@D@@@@@@@@@@@@@@@C@@@AB@D@@@@@@@W@jxTYde@
        g@gCc@{CJ@N@F@Aiv@r@|CUyxA_@_kT_@_lXYYYYYY@@AA@AAAC@GYYYA@CAG@FZA@C@D@@BFZYYYYYYYYYYY]X`@X`@X`@X`@X`@@thCa@m_AYEYE
        Y
        """#

    /// `Lowercase`.
    private static let lowercase: StaticString = #"""
        `BYn@@I@C@c@W@G@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@A@@@@@@@@@@@@@@@A@@@@@@@@@@@@@@@@@@@@@@@@@@@
        @@@@@@@@@@@@@@@@@@@A@@@@BA@@@A@BAC@A@BBA@A@@@@@A@@A@@A@B@@@AAABE@A@A@@@@@@@@@@@@@@@@A@@@@@@@@@@@@@@@@@AA@@@B@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@FA@AA@@C@@@@@@@@dA@c@FA]D_B@j@@@@B@ACQ@Zb@@ABB@@@@@@@@@@@@@@@@
        @@@@@@@D@@A@AAr@o@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@H@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@A@@@@@@@
        @@@@@A@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@o@h@fyAj@@Cw
        VEacAH@@tB_E`A@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@H@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@HGEIGGGGEIGGGGMAGGGGGGD@AE@BB@AGCAAGGIB@AxB@L@OLlB@BAB@Z@C@C@AAGCC@`@OC@jYYey@o@@@
        BA@@@@@@C@@A@GB@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@A
        F@@@C@Ke@@@D@rg]@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@R@@@@@@@@@@@@@@@@@@@@@@@@@@BdC@@@@@@@@@@@@B@@@@@@@@@@
        @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@I@@@@A@@@@@@@@@C@@@A@@B@@@@@@@@@@@@@@@@@@@@D@D@@@@@@@@@@@@@@@C@
        @@A@B@@@@@@@@@@@UB@@@BtXj@@MEoA_yRFKDh`@Yle@g@gCc@zCJ@N@F@AbM@AB@i@@Hdg@r@|BUyxA_@_kT_@ykXYYF@QYYYC@@@F@JYYYYYYYYY
        YYYYYYYY[[X@EYX@EYX@EYX@EYX@E@@sx@I@SEEdG}@sdAa@
        """#

    /// `Emoji`.
    private static let emoji: StaticString = #"""
        b@@E@DInB@C@l{F@K@wE@U@yAENAnJAK@eD@XJCBfE@fFAI@H@y@C@DH@A@AAA@C@A@@AA@B@BAGBD@@@DKJAA@@A@@Q@AAQE@@@ABAD@AACAJADAA
        @DA@@@ASADE@CA@C@A@AE@@A@@@@@E@B@E@IAN@A@C@@@CB@@JAo@BH@M@M@sJAnMBRAr@@C@ye@@K@xQ@@@ijnB@iE@_DAKAM@AIjAY@AV@S@AHTA
        mDa@AoBAA@BArAAB@fG@~@JE@WFAAGK@ACA@CALAA@GAH@DBKBGBA@@@C@E@B@EuAo@eADGABCIB@@AB@AIbFKC@zGn@@I@xDoBLBIDw@FNAJEH
        """#

    /// `Emoji_Presentation`.
    private static let emojiPresentation: StaticString = #"""
        ywGAlECB@A@hOATAq@Kj@@R@L@GAPADAG@D@T@FA@@C@A@F@CA[@b@@@@CB@@|@BW@M@zYAr@@C@mdpB@iE@}D@AIjAY@@W@S@AD@BTAmD`@KH@eA@
        UKj@CDKPB@BfA@@@zDA~@LC@WQ@YAL@uAtAo@eAE@BBABCCJAFHbFKC@zGn@@I@xDoBLBIDw@FNAJEH
        """#

    /// `Emoji_Modifier`.
    private static let emojiModifier: StaticString = #"""
        z~{BD
        """#

    /// `Emoji_Modifier_Base`.
    private static let emojiModifierBase: StaticString = #"""
        |oH@zE@OCvbrB@{@BA@ABtBAAJTRB@CB@BF@@@W@hEAC@T@CAmDBBDrA@OBH@J@~P@A@GGE@HIABw@@|@A@A@@PB@LdFBi@H
        """#

    /// `Emoji_Component`.
    private static let emojiComponent: StaticString = #"""
        b@@E@DIr}F@tE@jhv@@u}{@YzNDol@Ckr`W_B
        """#

    /// `Extended_Pictographic`.
    private static let extendedPictographic: StaticString = #"""
        hD@C@l{F@K@wE@U@yAENAnJAK@~A@eA@XJCBfE@fFAI@H@y@C@E@K@qBIuBAJ@@@@E@B@E@IAN@A@C@@@CB@@JDl@BH@M@M@sJAnMBRAr@@C@ye@@K
        @xQ@@@ejnB_GLB^@{@EKAM@AIQx@ZNI@S@AH@CHqLD}HGiGo@_CsBKtAj@KCw@GIEg@G]qAKn@@I@xL_G}^
        """#

    /// `ID_Start`.
    private static let iDStart: StaticString = #"""
        `AYEYn@@I@C@DV@^@iMCKMDF@@@`CD@AAC@@E@@B@@@S@rA@jCGeD@e@A@Eh@fAZCCl@j@b@A@bB@@NAFAIBA@O@@]\xAJ@W`@HAC@DUC@H@B@VXFJ
        DW@EPi@y@u@B@Q@FINOCGAAAU@F@@BCB@O@LA@BMAI@GECAAU@F@A@A@A^C@@RBOH@B@U@F@A@DB@Q@NAV@JGAAAU@F@A@DB@]A@BN@P@@EBB@CBA@
        @@ABABBBKU@s@G@B@V@OB@YBA@AA]@CG@B@V@I@DB@^A@ANAPH@B@h@A@O@DBGBWEDQBW@H@@AFy@o@@AKFy@A@@@D@W@@@I@AH@AD@@TC_@@~@G@c
        @ZDrBj@S@OECCB@BAFBCLK@Pe@@@D@Aj@@lI@CAF@@@CAh@@CA`@@CAF@@@CAN@x@@CAbAd@OOuAAEBkRAP@YDjABJFQLRMQML@BNs@b@@C@bAxAFh
        @@@DeAI^p@]ADJk@CYu@VHt@qA@|An@PGu@]LAIk@Yc@h@BIc@AJDj@ABh@C@E@AB@D_E_AuGAEAe@AEAG@@@@@@@^At@@F@@BB@FBCAECLDB@FsB@
        L@OLdB@C@AI@@AEE@@@@@@OACDDC@Ph@vrAdFECBAKe@@@D@Aw@F@OVHF@F@F@F@F@F@F@FePBXHFDADCuACD@yA@CDj@@}AP_@o@O_O_mE_AlsTbA
        m@AlGBOIASn@O^AoAf@HAfBAbAAA@@@GTO@B@C@V\s@Mq@}@EB@@AJ[IVX\Fn@[@OD@IID@h@VB@GSVB@Bq@@@BAADA@@@WBAJFBKEAEAEHF@F@j@@
        MErB\c|IKVCp@cgGmJAiBe@FKDD@@I@L@D@@@A@A@kB`@jJQ_AAu@g@KsBD@fCc@YEYJxABEAEAEABb@K@Y@R@A@NAMa@zBdAt@jG\Bp@n@_@L]De@
        I]Ac@CG@Di@}CQc@Cc@Cg@Gs@KJ@N@F@A@J@N@F@ABs@KvHHUIGWE@i@@HdAEA@@k@@AB@AVIVH^`AR@AIUIYeAw@EA_A@NC@B@\i@\B\b@G@[Zu@I
        UIRLQmBhAv@r@Lr@Lc@e@[HVyFi@EAOBz@\I@GUi@Qm@TZVKt@x@AA@Ll@_@XYc@\@A@Gb@B@Ko@MCT@@@b@Q@XRA~@F@@@C@N@IFn@e@GAAAU@F@A
        @DB@Q@KD]I@@A@@e@@@X@@@k@t@QCSB]o@SA@@wDn@h@Cc@o@S@z@j@L@fAZd@FxDk@sB_A^GA@AG@A@WN@@@}AGAf@O@@@[@Ig@F@T@Jm@R@QhAfE
        `@^H@d@P@p@]oBF@A@e@T@XE@A@_@M@fIRN@@L@a@{B@nAy[eBnBPcEkqA`BNo`@PEXz{BDfQxtE]av@xPF^PnAP]Qo@OC^TDRoLl@rE_A_CjAD@aA
        L_AA@@[w~DGue@h@IfvGC@F@A@bHN@\BA@MCGkKcgAjBDLBHFIezDtA@fA@AA@AAAC@K@@@F@`A@CAG@F@[@C@D@@BF@sIAX@X@^@X@^@X@^@X@^@X
        @Gsx@^EEdG}@qCl@IFO@`I]Qk@cN[cF]A@nNF@C@A@N@dEz@cAF@sd@C@Z@A@@A@@I@C@@@@E@C@@@@@@B@A@@A@@@@@@@@@@A@@AC@F@C@C@@@I@P
        DB@D@PciC_vh@_@y`CE}EAasDMphFNmRalA}Oan@jyCD_bC
        """#

    /// `ID_Continue`.
    private static let iDContinue: StaticString = #"""
        o@IFYC@@Yn@@I@@@A@DV@^@iMCKMDF@@@PtB@AAC@@ED@@@S@rA@jC@DAeD@e@A@Eh@Gl@@@@A@A@@GZCC\JDiACeB@GAI@RA@Oz@AdBMu@C@A@Am@
        Q[CJDW@EGjA@`CAI@R@GAAAU@F@@BCAHAAACG@CA@DAKI@@@AB@ECAAU@F@A@A@AA@@DCAABB@FC@@FOJB@H@B@U@F@A@DAI@B@BA@NCAIHF@B@GAA
        AU@F@A@DAHAAABFBCA@DAI@@OA@EBB@CBA@@@ABABBBKCDBB@CA@E@MIOL@B@V@OAH@B@CFA@BA@ACAIOC@G@B@V@I@DAH@B@CFAEA@CAI@BKL@B@r
        @@B@DDCFDAIIE@B@QBW@H@@AFB@CE@@@GEIAALy@DN@If@A@@@D@W@@@VAD@@@F@IAC_@@VAEIJ@@@@@CI@c@CS@Q@c@H@x@iAEmAAe@@@D@Aj@@lI
        @CAF@@@CAh@@CA`@@CAF@@@CAN@x@@CAbAABHHMOOuAAEBkRAP@YDjABJFUHUJSKL@B@AKsAB@CAAI`@B@JExAFj@DeAI^@KCKIg@ADJk@CYEJd@[C
        ~@@\AJEIL@GM@Op@lABIPHKsBKw@GIBp@AJDj@ABOB@f@DuOAEAe@AEAG@@@@@@@^At@@F@@BB@FBCAECLDB@FNAp@AR@[@L@OLr@LC@BKP@C@AI@@
        AEE@@@@@@OACDDC@Ph@vrAdFEHKe@@@D@Aw@F@NWHF@F@F@F@F@F@F@F@_@dOBXN@DADCuAAF@~ADj@@}AP_@o@O_O_mE_AlsTbAm@AlGB[So@CI@r
        Bd@HAfBAbAAA@@@GTu@C@Rs@KeAIIEWB@@p@Ac@K\B`AMJE^@v@HMAIEVBhAWBAOADIEAEAEHF@F@j@@MEzB@AAIEc|IKVCp@cgGmJAiBe@FKDDK@L
        @D@@@A@A@kB`@jJQ_AAu@g@KCOOOBAWB_@D@fCRIFYC@@YIyABEAEAEABb@K@Y@R@A@NAMa@zBdAt@gC@aC\Bp@N@^_@L]Dj@D]Ac@CG@Di@}CAIEc
        @Cc@Cg@Gs@KJ@N@F@A@J@N@F@ABs@KvHHUIGWE@i@@HdAEA@@k@@AB@AVIVH^`AR@AIUIYeAw@EA_AC@ADG@B@\ABC@_@\B\b@G@]Xu@IUIRLQmBhA
        v@r@Lr@Lg@GIEe@BD@VyFi@@ABAOBv@`@I@G`@^Ui@TZVHfA^OH{@F@LXFIEt@@ICCGc@A@HdACC@L@@b@Q@d@EC}@F@@@C@N@IFz@DIEC@GAAAU@F
        @A@D@IAAABA@E@DFAFBDJI@@A@@e@@I@@A@@C@GLA\jADICC]eA@@GIeDu@AHVEa@`AB@JIe@x@FIES[ZANCIEFxDz@dBiATGA@AG@A@]@AAHKIeAG
        Am@AG@AZ~@G@GiAB@QhAfE`@NIEH@l@@HNIW]AU@MhAF@A@k@B@@A@HGIEE@A@d@@A@EFIuHVHP@h@BDLJtA@nAy[eBnBPcEkqA`BNo`@OUIz{BDfQ
        xtEy@eu@xPF^@IEnA@IE]ADJv@HCKIHTDRoLl@BIeE_A_CjACx@FP_AA@AJAMw~DGue@h@IfvGC@F@A@bHN@\BA@MCGkKcgAjBDLBHFIBApaCIeOm@
        AV}ODBEGGAF]CsCBzLtA@fA@AA@AAAC@K@@@F@`A@CAG@F@[@C@D@@BF@sIAX@X@^@X@^@X@^@X@^@X@GAq@_Ov@Cq@G@M@UD@Noa@^EEtEF@PAF@A
        @DD}@`@@oBl@BMAIC@`I^Py@uMi@uEj@dNF@C@A@N@dEJFh@kACIed@C@Z@A@@A@@I@C@@@@E@C@@@@@@B@A@@A@@@@@@@@@@A@@AC@F@C@C@@@I@P
        DB@D@PshBIe_@_vh@_@y`CE}EAasDMphFNmRalA}Oan@jyCD_bCoivToF
        """#

    /// `XID_Start`.
    private static let xIDStart: StaticString = #"""
        `AYEYn@@I@C@DV@^@iMCKMDF@@@`CD@ABB@@E@@B@@@S@rA@jCGeD@e@A@Eh@fAZCCl@j@b@A@bB@@NAFAIBA@O@@]\xAJ@W`@HAC@DUC@H@B@VXFJ
        DW@EPi@y@u@B@Q@FINOCGAAAU@F@@BCB@O@LA@BMAI@GECAAU@F@A@A@A^C@@RBOH@B@U@F@A@DB@Q@NAV@JGAAAU@F@A@DB@]A@BN@P@@EBB@CBA@
        @@ABABBBKU@s@G@B@V@OB@YBA@AA]@CG@B@V@I@DB@^A@ANAPH@B@h@A@O@DBGBWEDQBW@H@@AFy@o@@@LFy@A@@@D@W@@@I@@I@AD@@TC_@@~@G@c
        @ZDrBj@S@OECCB@BAFBCLK@Pe@@@D@Aj@@lI@CAF@@@CAh@@CA`@@CAF@@@CAN@x@@CAbAd@OOuAAEBkRAP@YDjABJFQLRMQML@BNs@b@@C@bAxAFh
        @@@DeAI^p@]ADJk@CYu@VHt@qA@|An@PGu@]LAIk@Yc@h@BIc@AJDj@ABh@C@E@AB@D_E_AuGAEAe@AEAG@@@@@@@^At@@F@@BB@FBCAECLDB@FsB@
        L@OLdB@C@AI@@AEE@@@@@@OACDDC@Ph@vrAdFECBAKe@@@D@Aw@F@OVHF@F@F@F@F@F@F@FePBXHFDADCuAEB@yA@CDj@@}AP_@o@O_O_mE_AlsTbA
        m@AlGBOIASn@O^AoAf@HAfBAbAAA@@@GTO@B@C@V\s@Mq@}@EB@@AJ[IVX\Fn@[@OD@IID@h@VB@GSVB@Bq@@@BAADA@@@WBAJFBKEAEAEHF@F@j@@
        MErB\c|IKVCp@cgGmJAiBe@FKDD@@I@L@D@@@A@A@kB`@jCEyEQ_AAu@g@IvB@@@B@@@@@@@@}Bc@YEYJw@A^BEAEAEABb@K@Y@R@A@NAMa@zBdAt@
        jG\Bp@n@_@L]De@I]Ac@CG@Di@}CQc@Cc@Cg@Gs@KJ@N@F@A@J@N@F@ABs@KvHHUIGWE@i@@HdAEA@@k@@AB@AVIVH^`AR@AIUIYeAw@EA_A@NC@B@
        \i@\B\b@G@[Zu@IUIRLQmBhAv@r@Lr@Lc@e@[HVyFi@EAOBz@\I@GUi@Qm@TZVKt@x@AA@Ll@_@XYc@\@A@Gb@B@Ko@MCT@@@b@Q@XRA~@F@@@C@N@
        IFn@e@GAAAU@F@A@DB@Q@KD]I@@A@@e@@@X@@@k@t@QCSB]o@SA@@wDn@h@Cc@o@S@z@j@L@fAZd@FxDk@sB_A^GA@AG@A@WN@@@}AGAf@O@@@[@Ig
        @F@T@Jm@R@QhAfE`@^H@d@P@p@]oBF@A@e@T@XE@A@_@M@fIRN@@L@a@{B@nAy[eBnBPcEkqA`BNo`@PEXz{BDfQxtE]av@xPF^PnAP]Qo@OC^TDRo
        Ll@rE_A_CjAD@aAL_AA@@[w~DGue@h@IfvGC@F@A@bHN@\BA@MCGkKcgAjBDLBHFIezDtA@fA@AA@AAAC@K@@@F@`A@CAG@F@[@C@D@@BF@sIAX@X@
        ^@X@^@X@^@X@^@X@Gsx@^EEdG}@qCl@IFO@`I]Qk@cN[cF]A@nNF@C@A@N@dEz@cAF@sd@C@Z@A@@A@@I@C@@@@E@C@@@@@@B@A@@A@@@@@@@@@@A@
        @AC@F@C@C@@@I@PDB@D@PciC_vh@_@y`CE}EAasDMphFNmRalA}Oan@jyCD_bC
        """#

    /// `XID_Continue`.
    private static let xIDContinue: StaticString = #"""
        o@IFYC@@Yn@@I@@@A@DV@^@iMCKMDF@@@PtB@ABB@@ED@@@S@rA@jC@DAeD@e@A@Eh@Gl@@@@A@A@@GZCC\JDiACeB@GAI@RA@Oz@AdBMu@C@A@Am@
        Q[CJDW@EGjA@`CAI@R@GAAAU@F@@BCAHAAACG@CA@DAKI@@@AB@ECAAU@F@A@A@AA@@DCAABB@FC@@FOJB@H@B@U@F@A@DAI@B@BA@NCAIHF@B@GAA
        AU@F@A@DAHAAABFBCA@DAI@@OA@EBB@CBA@@@ABABBBKCDBB@CA@E@MIOL@B@V@OAH@B@CFA@BA@ACAIOC@G@B@V@I@DAH@B@CFAEA@CAI@BKL@B@r
        @@B@DDCFDAIIE@B@QBW@H@@AFB@CE@@@GEIAALy@DN@If@A@@@D@W@@@VAD@@@F@IAC_@@VAEIJ@@@@@CI@c@CS@Q@c@H@x@iAEmAAe@@@D@Aj@@lI
        @CAF@@@CAh@@CA`@@CAF@@@CAN@x@@CAbAABHHMOOuAAEBkRAP@YDjABJFUHUJSKL@B@AKsAB@CAAI`@B@JExAFj@DeAI^@KCKIg@ADJk@CYEJd@[C
        ~@@\AJEIL@GM@Op@lABIPHKsBKw@GIBp@AJDj@ABOB@f@DuOAEAe@AEAG@@@@@@@^At@@F@@BB@FBCAECLDB@FNAp@AR@[@L@OLr@LC@BKP@C@AI@@
        AEE@@@@@@OACDDC@Ph@vrAdFEHKe@@@D@Aw@F@NWHF@F@F@F@F@F@F@F@_@dOBXN@DADCuAAAAB@~ADj@@}AP_@o@O_O_mE_AlsTbAm@AlGB[So@CI
        @rBd@HAfBAbAAA@@@GTu@C@Rs@KeAIIEWB@@p@Ac@K\B`AMJE^@v@HMAIEVBhAWBAOADIEAEAEHF@F@j@@MEzB@AAIEc|IKVCp@cgGmJAiBe@FKDDK
        @L@D@@@A@A@kB`@jCEyEQ_AAu@g@IEOOOBAWB`@@@@B@@@@@@@@}BRIFYC@@YIyABEAEAEABb@K@Y@R@A@NAMa@zBdAt@gC@aC\Bp@N@^_@L]Dj@D]
        Ac@CG@Di@}CAIEc@Cc@Cg@Gs@KJ@N@F@A@J@N@F@ABs@KvHHUIGWE@i@@HdAEA@@k@@AB@AVIVH^`AR@AIUIYeAw@EA_AC@ADG@B@\ABC@_@\B\b@G
        @]Xu@IUIRLQmBhAv@r@Lr@Lg@GIEe@BD@VyFi@@ABAOBv@`@I@G`@^Ui@TZVHfA^OH{@F@LXFIEt@@ICCGc@A@HdACC@L@@b@Q@d@EC}@F@@@C@N@I
        Fz@DIEC@GAAAU@F@A@D@IAAABA@E@DFAFBDJI@@A@@e@@I@@A@@C@GLA\jADICC]eA@@GIeDu@AHVEa@`AB@JIe@x@FIES[ZANCIEFxDz@dBiATGA@
        AG@A@]@AAHKIeAGAm@AG@AZ~@G@GiAB@QhAfE`@NIEH@l@@HNIW]AU@MhAF@A@k@B@@A@HGIEE@A@d@@A@EFIuHVHP@h@BDLJtA@nAy[eBnBPcEkqA
        `BNo`@OUIz{BDfQxtEy@eu@xPF^@IEnA@IE]ADJv@HCKIHTDRoLl@BIeE_A_CjACx@FP_AA@AJAMw~DGue@h@IfvGC@F@A@bHN@\BA@MCGkKcgAjBD
        LBHFIBApaCIeOm@AV}ODBEGGAF]CsCBzLtA@fA@AA@AAAC@K@@@F@`A@CAG@F@[@C@D@@BF@sIAX@X@^@X@^@X@^@X@^@X@GAq@_Ov@Cq@G@M@UD@N
        oa@^EEtEF@PAF@A@DD}@`@@oBl@BMAIC@`I^Py@uMi@uEj@dNF@C@A@N@dEJFh@kACIed@C@Z@A@@A@@I@C@@@@E@C@@@@@@B@A@@A@@@@@@@@@@A@
        @AC@F@C@C@@@I@PDB@D@PshBIe_@_vh@_@y`CE}EAasDMphFNmRalA}Oan@jyCD_bCoivToF
        """#

    /// `Cased`.
    private static let cased: StaticString = #"""
        `AYEYn@@I@C@DV@^@bE@CCoE@c@FA]D_B@i@CAAAC@@E@@B@@@S@rA@jCGeD@e@Hh@vwAe@@@D@Aj@@C_TuAAEacAJDj@AB_A_E_AuGAEAe@AEAG@@
        @@@@@^At@@F@@BB@FBCAECLDB@FsB@L@OLdB@C@AI@@BDE@@@@@@C@EC@ACDDC@P_@BApXs@uw@dFECBAKe@@@D@qg]m@Q]cCeBBC@}@AA@@@GTD@B
        tXj@@MEoA_yRFKDh_@YEYdd@oA_Bc@Cc@sBJ@N@F@A@J@N@F@AbM@AB@i@@Hde@r@Lr@|AUIUywA_A_jT_A_kXtA@fA@AA@AAAC@K@@@F@`A@CAG@F
        @[@C@D@@BF@sIAX@X@^@X@^@X@^@X@^@X@Gsx@I@SEEdG}@qcAcAk~@YEYEY
        """#

    /// `Case_Ignorable`.
    private static let caseIgnorable: StaticString = #"""
        f@@E@J@b@@@@fA@C@@@C@AAvN_ECAC@HA@@zFFnE@D@p@l@@@@A@A@@k@@JEIJ@@b@@ITO@dBG@I@C`@@@@]ZzAJy@JC@A@WWj@Bk@@FADHh@y@v@@
        @@CGC@BFIAL@N@y@@CCG@SAY@AAx@@CACAABB@]AB@JAx@@CD@AC@SAUE@@y@@A@@CG@FAJA]@|@@K@q@@B@v@@@BDB@CFAJA\@y@@A@E@DASA[Ax@
        ACCG@SA\@gA@FB@@yA@AFJHaB@AHH@@FhAAZ@@@@@v@M@D@ADJ@c@H@eBC@E@AAAXACBOCL@AAE@N@}A@_RBq\B\A]A]A_AA@FG@AJB@D@l@Dr@@`A
        Aa@@uBBCAH@EBzEAA@y@@@F@@@@AGEIA@f@@G^p@Co@@@D@@D@g@HKA_@CAA@Bw@@@AB@@By@GAA_AEqAB@L@FC@E@BAq@~@L@a@dB|L@@BJBLBLBL
        AKDGAI@A@ADp@D@I@@L@OLr@`@j{AApBB|B@N@_B_@n@@tM@c@CBDD@|AE|ABuwZ@af@EmG@aBC@I@@[CoAAMa@mA@VBfBBBAG@B@C@XAD@vCAYQL@
        e@GXJm@Bo@@ACAAP@TAaAEAAAAK@G@b@@J@r@@@BAADA@@Z@MADA@@cBDHBxB@A@C@oxR@rCP|POB@KOa@@A@hD@F@E@J@b@@@@n@@l@AbA@TB`O@a
        F@tCDd_@E@i@@HeQB@ADCg@BC@dDA|PCe@@YD@@zHAnACeAJp@CzB@u@Nh@@AAIBp@CAAA@C@I@q@Bc@D@G}@@KAs@HICA@~ABA@@AE@A@|C@BGTAx
        @AB@d@FBDeAEL@@@@@MAtAGAB@@V@sAE@@CA@AmFCEA@AZAtAGA@@AiB@@@AE@@dB@@@AC@DbGH@A_GA@@C@oCCAAC@_@Ig@EACG@HEABm@L@AuKF@
        E@@qAUAF@A@AyBEB@@A@F@@gAAB@@@zIAJAs@DD@@@V@teDPENgeJKBB_mADz@FHC{NBg@AaN@~@P_AA@Aj_OC@F@A}cBA@C{qCm@AV_PBHOAF]CsC
        Bz|@v@Cq@G@M@UD@Noi@F@PAF@A@DD}@`@@_DMoJ@|@CzND}FA_VFlBGntAD`_bW@]_B_CoF
        """#

    /// `Math`.
    private static let math: StaticString = #"""
        j@@OB^@\@@@l@@C@d@@^@wUBA@YAABnOBloE@ZBJ@B@L@MCTDJD`ALC@BACDQ@C@AI@@AEE@BAAA@B@EBM@@cAW@E@ACAC_@@@EAMkGGCSAyA@]Z@@
        W@JF|LAKICECAAABDM@@@AEJGDAx@@@@\CHBoI_A_G_Oo@TAE{}r@@vXE@@aD@OB\@@@\@@@bC@EC`lBAorp@tA@fA@AA@AAAC@K@@@F@`A@CAG@F@
        [@C@D@@BF@sIAcHAq@_oDC@Z@A@@A@@I@C@@@@E@C@@@@@@B@A@@A@@@@@@@@@@A@@AC@F@C@C@@@I@PDB@D@Ps@A
        """#

    /// `Hex_Digit`.
    private static let hexDigit: StaticString = #"""
        o@IFEYEht~@IFEYE
        """#

    /// `ASCII_Hex_Digit`.
    private static let aSCIIHexDigit: StaticString = #"""
        o@IFEYE
        """#

    /// `Default_Ignorable_Code_Point`.
    private static let defaultIgnorableCodePoint: StaticString = #"""
        lD@`T@kU@ayAArq@AtADz~@DYDp@OsfC@zcr@OnF@_D@nAHfdn@CneDGdsjW__C
        """#

    /// `Diacritic`.
    private static let diacritic: StaticString = #"""
        }A@@@fA@E@C@AAvN~C@GDEPAC@HA|FDpE@v@P@Z@@@A@@eCGCAeCACABBbAZzAJy@Ja@A}BGh@IO[|@@O@BC[@iA@O@mB@O@mB@O@n@B{@@O@F@vB@
        mB@O@mB@O@lBAO@{B@nB@KE@@jB@LDjAAZ@@@@@CAaAB@A}@@oB@@Ag@ACDXF@@IA`UBs\A]@sCJH@zIBcH@SGA@o@NAJgB@N@e@Hu@Ay@@JAaAA_A
        EqAXC@E@ABq@~@xAKd@J|L@@BJBLBLBLAofBB|H@yNEhBC~A@qj\@KA@@[AqAAMa@eBBlBAK@d@@vC@ZQx@Cc@@~A@K@c@@tCB`ACr@@cBDHB_CAox
        R@`WOmG@@@n@@l@AbA@{V@~c@E@i@@H|RBC@dDAzPEe@@YDnKBeAJp@C_E@h@@gAAwBA}@@kA@HBgBAqDAoAAO@WFBDxAB@ALA~A@B@zBAzFA}B@uB
        ArB@lGAaGAC@{C@rA@Q@pA@dL@aG@@ApA@hLAV@kfDNxeJ@_mADz@FsPAaPPoAA}~NC@F@A`wFm@AV_PBBEGGAF]CasB}@aEFvJ@|@C}VA_VFlBB@B
        """#

    /// `Dash`.
    private static let dash: StaticString = #"""
        l@@{i@@r@@`qB@d_@@h_AE|@@f@@N@eK@c_B@A@^AC@[@}L@R@nB@okr@Ad@@I@hD@_rB@}H@
        """#

    /// `Hyphen`.
    private static let hyphen: StaticString = #"""
        l@@~B@{e@@zrC@h_AAdoB@bV@fjr@@hD@vA@
        """#

    /// `Ideographic`.
    private static let ideographic: StaticString = #"""
        e_KAXHMBd]_mE_A_oS_gUmJAiBig\@Zw~DGue@h@IfbHkKcgR_vh@_@y`CE}EAasDMphFNmRalA}Oan@jyCD_bC
        """#

    /// `Unified_Ideograph`.
    private static let unifiedIdeograph: StaticString = #"""
        __L_mE_A_oSmoUA@@@AI@@@@AABum`A_vh@_@y`CE}EAasDMphFNmRalCjyCD_bC
        """#

    /// `Radical`.
    private static let radical: StaticString = #"""
        _sJY@xAKuE
        """#

    /// `Quotation_Mark`.
    private static let quotationMark: StaticString = #"""
        a@@C@bC@N@{yFGXAfoB@hMCLB`pr@C|D@C@yAA
        """#

    /// `Terminal_Punctuation`.
    private static let terminalPunctuation: StaticString = #"""
        `@@I@@@JAB@}X@G@`O@x@@gA@M@@BsD@j@J@@jFAu@E@G^@dGAsf@AkD@CEvHAtWGdW@{BBfAA|CBB@f@CAAyHAaJCaDAIA@B\BzDD}@Ac\@VAHBnd
        BBqH@L@C@I@@ABAkLAzf\AlGBbFD}JAuAA~A@vCBrCB~B@OAxF@epS@AAx@B@ChD@I@@@JAB@`A@A@y`@@o@@ec@@fE@uHAwCEcAExACw\Dk@C|DFo
        BC~BB`CAE@OAwADkB@iHAtBBKAeJCBNhBAxFBdO@@@zFAvAACA}KBl@@dSAiAAjh@DxnPAdC@`ABI@hPAfHAeoR@fnFC
        """#

    /// `Sentence_Terminal`.
    private static let sentenceTerminal: StaticString = #"""
        `@@K@O@hi@@rCBsD@j@BuF@|@@@@BAdHAcv@AuW@CAdW@eEA|CAl@@D@yHAaJCaDAIAAA\BzDA`AAc\@VAHBndBBqH@L@UAlL@{f\@mGAbF@B@}JAu
        AA~A@wCArCBoCAxF@epS@AAz@@BAhD@K@O@`A@svAA|f@Dk@C|DAtBC~BB`CAE@OAwAA@AkB@iHAtBAtJADNhBAxFBdO@@@zFAvAAcLAsTAiAAhxQA
        dC@`AAJ@hPAgH@eoR@gnF@
        """#

    /// `Variation_Selector`.
    private static let variationSelector: StaticString = #"""
        j_EB@@onx@Oov_YoF
        """#

    /// `Pattern_Syntax`.
    private static let patternSyntax: StaticString = #"""
        `@NIFYC@@YCa@F@@@A@@@AC@C@B@V@^@wwFWGNAR@IpHoU_DuR]kb@_O_C`KBCXN@lgr@AdGA
        """#

    /// `Pattern_White_Space`.
    private static let patternWhiteSpace: StaticString = #"""
        HDQ@cB@g{FAWA
        """#

    /// `Join_Control`.
    private static let joinControl: StaticString = #"""
        k_GA
        """#

    /// `Grapheme_Extend`.
    private static let graphemeExtend: StaticString = #"""
        _WoBrGFfGl@@@@A@A@@gAJo@TO@dBFAEAA@Cb@@]ZzAJy@HH@WC@H@B@Dj@Bz@Hi@W@_@v@@@@CGC@BFIA\@y@@@@ACG@H@IAY@AAx@@CACAABB@]A
        B@JAx@@CD@AC@SAUE@@y@@@A@CG@FBIA]@z@@@@K@H@g@@B@v@@@BDB@CFAJA\@y@@AA@@BB@CFAJA[Ax@A@@ACG@H@IA\@gA@C@AB@@G@pA@AFKGa
        B@AHJFhAAZ@@@@@v@M@D@ADJ@c@H@eBC@E@AAAXACBOCL@AAE@N@~TBq\C[B\A]A_AA@FG@AJH@l@B@@tBAa@@uBBCAH@EBzEAA@y@@@F@@@@AGEIA
        @o@^p@Co@ICBe@HKA_@CAEw@@@AB@@Dw@GAAwCB@L@FC@E@BAeE_AkO@bE`@}~ABlC@_B_@iPEhBAsm\C@I_@AoAAoG@B@C@XAD@vCAYQL@e@GXJ@@
        k@Bo@@ACAAA@c@@bAEAAAAK@G@n@@r@@@BAADA@@i@AG@mF@A@C@oxR@`VOOOmJA|Q@aF@tCDes@B@ADCg@BC@dDA|PC`AD|HAnACeAJp@CzB@u@Nh
        @@AAIBp@CAAF@|@Bc@D@G}@@KAs@H@@GCA@~ABACE@A@|C@BGTAx@A@@@@K@H@MFBDbA@AE@@A@@BCB@@MAtAGAB@@V@pA@AE@@A@@A@AjF@ACEA@A
        ZAtAGA@@AiB@@@AGdB@@@AC@DbGH@AtF@ICC@oCCAAC@_@Ig@EACG@HEABm@L@AuKF@E@@qAUAF@A@AyBEB@@A@F@@gAAB@@@zIAJAs@DDBV@dfD@E
        NgeJKBB_mADz@Fw_@@~@CpA@JAjdRA`rCm@AV}ODBEGGAF]CsCBz|@v@Cq@G@M@UD@Noi@F@PAF@A@DcB@_DFvJ@|@C{NC}FA_VFlBFtudW_B_CoF
        """#

    /// `Extender`.
    private static let extender: StaticString = #"""
        vD@wOAmZ@xL@uR@hC@xA@oV@~B@biA@w@@bR@mK@cA@h{C@j@DfBA|ABuwZ@un@@a]@U@hC@kB@TAzbT@o_AAjm@@Z@C@fe@@dH@sBAqNBne@@hdSA
        {c@A@@wi[Apd@@sYB
        """#

    /// `Noncharacter_Code_Point`.
    private static let noncharacterCodePoint: StaticString = #"""
        om~@_@mOA}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A}~~@A
        """#

    /// `Regional_Indicator`.
    private static let regionalIndicator: StaticString = #"""
        en{BY
        """#

    /// `Soft_Dotted`.
    private static let softDotted: StaticString = #"""
        hBAcE@xG@]@s@@S@_I@aB@@@hgE@r@@L@B@cC@|C@dL@uEAqxA@d|hBAq@Aq@Aq@Aq@Aq@Aq@Aq@Aq@Aq@Aq@Aq@Aq@AecA@pHAY@
        """#

    /// `White_Space`.
    static let whiteSpace: StaticString = #"""
        HDQ@cB@Y@~mD@~jAJ\AD@n@@_|B@
        """#

    /// `\w` of Rust's regex.
    static let standardWord: StaticString = #"""
        o@IFYC@@Yn@@I@C@DV@^@iMCKMDF@@@PtB@AAC@@E@@B@@@S@rA@jC@lD@e@A@Eh@Gl@@@@A@A@@GZCC\JDiACeB@GAI@RA@Oz@AdBMu@C@A@Am@Q[
        CJDW@EGjA@`CAI@R@GAAAU@F@@BCAHAAACG@CA@DAKI@@@AB@ECAAU@F@A@A@AA@@DCAABB@FC@@FOJB@H@B@U@F@A@DAI@B@BA@NCAIHF@B@GAAAU
        @F@A@DAHAAABFBCA@DAI@@OA@EBB@CBA@@@ABABBBKCDBB@CA@E@MIOL@B@V@OAH@B@CFA@BA@ACAIOC@G@B@V@I@DAH@B@CFAEA@CAI@BKL@B@r@@
        B@DDCFDAIIE@B@QBW@H@@AFB@CE@@@GEIAALy@DN@If@A@@@D@W@@@VAD@@@F@IAC_@@VAEIJ@@@@@CI@c@CS@Q@c@H@x@iAEmAAe@@@D@Aj@@lI@C
        AF@@@CAh@@CA`@@CAF@@@CAN@x@@CAbAAB_@OOuAAEBkRAP@YDjABJFUHUJSKL@B@AKsAB@CAAI`@B@JExAFj@DeAI^@KCKIg@ADJk@CYEIe@[C~@@
        \AJEIL@G^p@lABIPHKsBKw@GIBp@AJDj@ABOB@f@DuOAEAe@AEAG@@@@@@@^At@@F@@BB@FBCAECLDB@FNAp@AR@[@L@OLr@`@P@C@AI@@BDE@@@@@
        @C@JACDDC@Ph@lXs@uw@dFEHKe@@@D@Aw@F@NWHF@F@F@F@F@F@F@F@_@n@@tMBXN@DADCuAAAAB@yA@CDj@@}AP_@o@O_O_mE_AlsTbAm@AlGB[Sr
        @@I@rBd@HAfBAbAAA@@@GTu@C@Rs@KeAIIEWB@@p@Ac@K\B`AMJE^@v@HMAIEVBhAWBAOADIEAEAEHF@F@j@@MEzB@AAIEc|IKVCp@cgGmJAiBe@FK
        DDK@L@D@@@A@A@kB`@jJQ_AAu@g@KCOOOBAWB_@D@fCRIFYC@@YJxABEAEAEABb@K@Y@R@A@NAMa@zBdAt@gC@aC\Bp@N@^_@L]Dj@D]Ac@CG@Di@}
        CAIEc@Cc@Cg@Gs@KJ@N@F@A@J@N@F@ABs@KvHHUIGWE@i@@HdAEA@@k@@AB@AVIVH^`AR@AIUIYeAw@EA_AC@ADG@B@\ABC@_@\B\b@G@]Xu@IUIRL
        QmBhAv@r@Lr@Lg@GIEe@BD@VyFi@@ABAOBv@`@I@G`@^Ui@TZVHfA^OH{@F@LXFIEt@@ICCGc@A@HdACC@L@@b@Q@d@EC}@F@@@C@N@IFz@DIEC@GA
        AAU@F@A@D@IAAABA@E@DFAFBDJI@@A@@e@@I@@A@@C@GLA\jADICC]eA@@GIeDu@AHVEa@`AB@JIe@x@FIES[ZANCIEFxDz@dBiATGA@AG@A@]@AAH
        KIeAGAm@AG@AZ~@G@GiAB@QhAfE`@NIEH@l@@HNIW]AU@MhAF@A@k@B@@A@HGIEE@A@d@@A@EFIuHVHP@h@BDLJtA@nAy[eBnBPcEkqA`BNo`@OUIz
        {BDfQxtEy@eu@xPF^@IEnA@IE]ADJv@HCKIHTDRoLl@BIeE_A_CjACx@FP_AA@AJAMw~DGue@h@IfvGC@F@A@bHN@\BA@MCGkKcgAjBDLBHFIBApaC
        IeOm@AV}ODBEGGAF]CsCBzLtA@fA@AA@AAAC@K@@@F@`A@CAG@F@[@C@D@@BF@sIAX@X@^@X@^@X@^@X@^@X@GAq@_Ov@Cq@G@M@UD@Noa@^EEtEF@
        PAF@A@DD}@`@@oBl@BMAIC@`I^Py@uMi@uEj@dNF@C@A@N@dEJFh@kACIed@C@Z@A@@A@@I@C@@@@E@C@@@@@@B@A@@A@@@@@@@@@@A@@AC@F@C@C@
        @@I@PDB@D@PsRYEYEYerAIe_@_vh@_@y`CE}EAasDMphFNmRalA}Oan@jyCD_bCoivToF
        """#

    /// Punctuation of Rust's unicode_categories, and ASCII's.
    static let punctuation: StaticString = #"""
        `@NIFYEYCa@@D@B@IAB@B@}T@G@qMEh@Ar@@@@A@A@k@ASA@AL@AAiACeB@j@MhFBu@N^@dGAI@~J@bW@yA@IAgDN@@d@CfA@iADCAnBEjD@cRHvC@
        kRAk@AmABfAA|CB@Bd@JxHAwEA_CF@EkDFzCCz@D}@A_AGJ@{XWGS@L@K]AMAxRC\A|`@MnAA^IrKU~@C_@AzVC@AoB@nCn@@R}LBCIAKO@K@aB@yA
        @a_\AlGBbB@I@rBE{JCuAAg@B@@p@An@@`BLOA{BC}BAOAxF@qiSAoEIUb@@M@@C@@AtCB@E@CIABAYB@@Z@@@@FyKB{S@o@@}K@fV@fE@^@oGHe@@
        oBFaAFxACid@FlBA@C}BCo@AnADB@L@@BwAEjB@{O@yFVhBBwFBphBDxnPAdC@`ADG@yiS@fnFD
        """#

    /// Numbers of Rust's standard library.
    static let numeric: StaticString = #"""
        o@IwBAD@AB`l@IeCIeEI{KIuBICEkBIuBIuBIAEmBLrBIGFfBIgBFFRlBI_BIuBIeASkGIeAInUSpZBnFIEIUIkHI_CJdDIEIuDIuAIeCIEIu_@@BE
        EIeEr@ADuU{@mAUuR]hj@@hW@XHMBvICiCI]G@N_@If@N_z[I{DI_IEyCIe@IeEIUIuAIuKIuwSIlNl@Kx@PAtIZc@C\@G@eCDiEIm\GXFf@HjADUE
        _DAAOAm@_AHs@A]BjADgBGWGh@FiIEo@IEIuG^}CIi@CoBFeC]_CI{@IoCIFSzFIuIIuBIuJIeBIESkAKcLR|AIuSIuA\bFIeAIu@IeJIeBTj`@nB`
        eNIehAIuAIeCI@FmOIeGV|IBxfVIem@SKSkBXta@q@_iAIeLIuNIvFIkUH_CIvWz@@B@CkAl@@Na]LbvAI
        """#

    /// What BertNormalizer takes for control characters.
    static let unclean: StaticString = #"""
        ?HAA@Q~A`@L@qi@EU@_E@p@@}fC@{~@DYDp@D@Io{n@_gE~n@@xFB@@~dC@a~i@CneDGesjW@]_B_{~@}~~@A}~~@
        """#

    /// Non-spacing marks of Rust's unicode_categories.
    static let accents: StaticString = #"""
        _W_AA@Aj@rGDhGl@@@@A@A@@gAJo@TO@dBFAEAA@Cb@@]ZzAJy@Ha@C@H@B@Dj@BfC_@v@@@@CGC@BFIA\@y@@CCG@SA\Ax@@CACAABB@]AB@JAx@@
        CD@AC@SA\@y@@A@@CG@G@JA]@|@@K@q@@|@BDAACFAJA\@y@@A@E@DASA\@~@CG@SAeB@FB@@yA@AFKGaB@AE@AJEiAAZ@@@@@v@A@@A@@E@@@B@AD
        E@C@C@C@C@C@K@BH@eBC@E@AAAXACBOCL@AAE@N@~TBq\B\B\A]A_AA@FG@AJH@l@BzC@uBBCAH@EBzEAA@y@@@F@@@@AGEIA@o@MaACo@@@D@@D@g
        @HKA_@CAA@Bw@@@AB@@By@GAAwCB@L@FC@E@BAeEu@ECoULC@BK}~ABlC@_B_@iPCjBAsm\@CI_@AoAAoG@B@C@XA|C@ZQs@GXJm@Bo@@ACA@g@@bA
        EAAAAK@G@n@@r@@@BAADA@@i@AG@mF@A@C@oxR@`VOOOl]@aF@tCDes@B@ADCg@BC@dDAyg@@u@Nw@Bp@CAAdABc@D@@AD}@@KAs@HJBaBBA@@AfD@
        BGTAy@@B@d@FBD}HE@@CA@AmFCEA@AZAtAGA@@AiB@@@AE@@dBBAC@Dc}SDz@Fwa@CigRAgeDBPGAF]CsCBz|@v@Cq@G@M@UD@N_pBFh`eWoF
        """#

    /// Combining marks of Rust's unicode-normalization-alignments.
    static let combiningMarks: StaticString = #"""
        _WoBrGFfGl@@@@A@A@@gAJo@TO@dBFAEAA@Cb@@]ZzAJy@Ha@C@H@B@Dj@BwBM@`@u@B@Q@FIA\Bw@@@FAAABH@IA\Bw@@@DCAABB@]AB@JBw@@@G@
        B@BSA\Bw@@@FAAABGAIA]@z@DBB@CH@g@Cy@F@B@CFAJA\Bw@@@F@B@CFAJA\By@F@B@CH@IA]AeA@CE@@@GQA|@@AFKGaB@AE@AJEiAAZ@@@@@CAp
        @S@ADJ@c@H@cBSVCCB@BAFBCLK@@IC~TBq\B\B\A]A_A_@H@l@BvBAa@@uBKCKzEDx@I@\A@o@N`ADn@Pe@HKB]Lw@Mo@SwCB@TC@CBBAeEu@DDoU`
        @}~ABlC@_B_@iPEhBAsm\C@I_@AoAAoG@B@C@VDwAAq@QYQs@GXLk@Cn@Mc@@bAMK@GAl@Bq@@@BAADA@@h@DDAkFG@AoxR@`VOOOl]@aF@tCDes@B
        @ADCg@BC@dDAxg@Bt@Nw@Cl@JdABc@M}@@KBo@MHB~AKE@_DKTCw@@@FAAABH@IAAFBD_EQhBSjFFAHZAqAPiBLdBNbg@G@GqAU@MxpRDz@Fy_@m@O
        CigRAeeDDBEGGAF]CsCBz|@v@Cq@G@M@UD@Noi@F@PAF@A@DddAFlBFt|dWoF
        """#

    /// Scripts of the pre-tokenizer UnicodeScripts: how many scalars, and a number of their script; 0 goes with every other.
    static let scriptRuns: StaticString = #"""
        _@W@?_@WY{@EWY{@n@W@{@NW@{@DWV{@@W^{@@W`M{@f@WD{@DWALSWoBo@Cf@@WBf@A?Cf@@W@f@C?@f@@W@f@@WBf@@?@f@@?Sf@@?~@f@MXOf@d
        C[Ao@hD[@?e@DA?FD@?f@D@?@W@DA?BD@?v@m@G?Zm@D?Dm@J?DC@WEC@WMCAW@?@C@W_@C@WICJo@YC@o@kBC@Wa@CMtB@?{@tBA?BtBo@Cq@~BM?
        z@uAD?m@jBA?NjB@?[eAA?@eA`A?TC@?GCU?MC@W\CpA]Ao@P]AWY]CJ@?GJA?AJA?UJ@?FJ@?@JB?CJA?HJA?AJA?CJG?@JC?AJ@?DJA?UJD?Bh@@
        ?Eh@C?Ah@A?Uh@@?Fh@@?Ah@@?Ah@@?Ah@A?@h@@?Dh@C?Ah@A?Bh@B?@h@F?Ch@@?@h@F?Oh@J?Bg@@?Hg@@?Bg@@?Ug@@?Fg@@?Ag@@?Dg@A?Ig@
        @?Bg@@?Bg@A?@g@N?Cg@A?Kg@F?@g@F?B_B@?G_BA?A_BA?U_B@?F_B@?A_B@?D_BA?H_BA?A_BA?B_BG?A_BC?A_B@?D_BA?Q_BI?A{B@?E{BB?B{
        B@?C{BB?A{B@?@{B@?A{BB?A{BB?B{BB?K{BC?D{BB?B{B@?C{BA?@{BE?@{BM?T{BD?C}B@?G}B@?B}B@?V}B@?O}BB?G}B@?B}B@?C}BF?A}B@?B
        }BD?C}BA?I}BG?G}BCt@@?Gt@@?Bt@@?Vt@@?It@@?Dt@A?Ht@@?Bt@@?Ct@F?At@F?@t@@?Ct@A?It@@?At@M?BdA@?GdA@?BdA@?h@dAA?GdA@?B
        dA@?EdAC?OdAA?YdAA?ApB@?QpBB?WpB@?HpB@?@pBA?FpBB?@pBC?EpB@?@pB@?GpBE?IpBA?BpBK?y@_CC?@W[_Cd@?Az@@?@z@A?Az@@?@z@A?@
        z@E?Cz@@?Fz@@?Bz@@?@z@@?@z@A?Az@@?Lz@@?Bz@A?Dz@@?@z@@?Ez@A?Iz@A?Cz@_@?gA`C@?c@`CC?f@`C@?c@`C@?N`C@?F`CCWA`Cd@?_DqA
        e@b@@?@b@D?@b@A?j@b@@WCb@_Gj@hAa@@?Ca@A?Fa@@?@a@@?Ca@A?h@a@@?Ca@A?`@a@@?Ca@A?Fa@@?@a@@?Ca@A?Na@@?x@a@@?Ca@A?bAa@A?
        _@a@B?Ya@E?uAVA?EVA?_SQ\vAB?jAiBBWJiBF?LuB@?FuBJ?Tk@AWH?SPK?LvB@?BvB@?AvBK?}Aw@A?Iw@E?Iw@E?AnAAW@nA@WHnA@?InAE?wAn
        AG?j@nAD?eAQI?^}@@?K}@C?K}@C?@}@B?K}@]wBA?DwBJ?k@sAC?YsAE?JsAB?AsA_@w@[OA?AO~@xB@?\xBA?JxBE?IxBE?MxBA?No@`A?kAFC?l
        @FB?_ArBs@IG?CIw@|@B?N|@B?B|@o@wAH[v@?GrBG?Bo@@WLo@@WFo@CW@o@EW@o@AW@?Ao@E?e@{@Df@@[p@{@Df@C{@Df@L{@@[eA{@@f@u@o@D
        ?Do@_G{@Uf@A?Ef@A?e@f@A?Ef@A?Gf@@?@f@@?@f@@?@f@@?^f@A?t@f@@?Nf@@?Mf@A?Ef@@?Rf@A?Bf@@?Hf@@?KWAo@vAW@?JW@{@A?JW@{@NW
        @?L{@B?^WP?`@o@N?e@W@f@BWA{@EW@{@ZW@{@PWh@{@BWC?nRW@?f@WX?JWT?_\W_GNsRWA?_@WA?a@WB?KW@?GWY?CWO?n@c@@?n@c@@?_@{@sBX
        D?FXe@b@@?@b@D?@b@A?w@aCF?AaCM?@aCVa@H?Fa@@?Fa@@?Fa@@?Fa@@?Fa@@?Fa@@?Fa@@?Fa@@?_@[dAWz@?Yi@@?xAi@K?uEi@Y?KWC?DW@i@
        @W@i@XWHi@Co@Aj@GWCi@CW@?uAi@A?Ao@AWBi@@WyAi@@WCi@D?h@LB?}Aj@@?OWZLD?c@WK?Oi@^j@@?_AW^j@pAWn@i@@?wAi@gDWulEi@I?_AW
        umSi@i@?lc@fCB?v@fCH?o@`AkHdCS?_B[wAGG?a@WeB{@BWc@{@@?G{@~@?H{@k@sBC?IWE?w@eBG?eAkBG?KkBE?]]A?m@u@@W@u@c@hBJ?@hB\j
        @B?mAr@@?@WIr@C?Ar@^qA@?v@UH?MUA?IUA?CU_@qAbAyBW?DyBVhAI?Ea@A?Ea@A?Ea@H?Fa@@?Fa@@?j@{@@WH{@@f@I?oAVm@hAA?IhAE?c|Ij
        @K?Vj@C?p@j@cgG?mJi@A?iBi@e@?F{@K?DDD?Ym@@?Dm@@?@m@@?Am@@?Am@@?Im@qBCP?jJCAWO?_ACA?u@Cg@?MCA?Oo@IWE?Mo@A[b@W@?RW@?
        CWC?DC@?fCCA?@W@?_@WY{@EWY{@JWIi@@Wl@i@AW^j@B?Ej@A?Ej@A?Ej@A?Bj@B?FW@?FWI?DWA?K_A@?Y_A@?R_A@?A_A@?N_AA?M_Aa@?zB_AD
        ?BWC?l@WB?HWnAf@@?KWC?@f@n@?l@W@o@aC?\aAB?p@RN?@o@ZWC?c@yAK?Zd@D?j@{AD?]cC@?@cCc@|AC?M|Ai@?oA\o@mB]aBA?IaBE?c@`BC?
        c@`BC?g@`@G?s@SJ?@SoC?vH~@H?U~@I?G~@wC?EZA?@Z@?k@Z@?AZB?@ZA?@ZUn@@?Hn@_@cB^rAG?HrAo@?Rl@@?Al@D?Dl@[fBB?@fBYbAD?@bA
        _A?_@kAWjAC?SjAA?m@jACv@@?Av@D?Gv@@?Bv@@?Zv@C?Bv@C?Hv@G?Hv@F?_@}A_@zA_@?f@fAC?KfAH?u@EB?FEUq@A?Gq@Rp@D?Gp@QgBF?CgB
        K?FgBoA?hA~Av@?r@xAL?r@xAF?ExA_J?^C`K?mAMC?]MN?@MaAs@M?XqBF?IqBE?t@T@?MTK?f@cAH?mAlBA?OlB@?SpBJ?Qx@@?k@x@`A?FpA@?@
        pA@?CpA@?NpA@?JpAE?z@y@D?Iy@E?Ce@@?Ge@A?Ae@A?Ue@@?Fe@@?Ae@@?De@A?He@A?Ae@A?Be@A?@e@E?@e@D?Fe@A?Fe@B?De@jC?yAtA@?@t
        A@?@tAa@?gAbCG?IbCeD?u@nBA?e@nBa@?dAmAJ?ImAE?LnAR?w@zBG?IzBu@?YAB?NAC?OA_J?rAeCK?@eC_M?x@dBfG?HK@?l@K@?MKI?\KB?_@g
        AA?UgA@?MgAhY?y[YeB?nBY@?DYJ?cEY{tA?n`@_@p}B?fQBxlG?xPGF?^oA@?IoAC?AoA_B?]HA?EHI?eAbBI?IbB@?FbB@?TbBD?RbBoZ?dAlAJ?
        n@lAO?PlA_A?@|B^?l~D|BR?rV|BlgH?Ai@}~A?jB^D?L^B?H^F?I^A?C^CW{yC?uFWI?f@WA?}@WBo@PWGo@AWFo@]WCo@z@WV?eAf@yD?vAWH?QW
        mC?tAW@?fAW@?AWA?@WA?AWA?CW@?KW@?@W@?FW@?`AW@?CWA?GW@?FW@?[W@?CW@?DW@?@WB?FW@?sIWA?cHWA?q@WkSoBN?DoB@?NoBoi@?Fc@@?
        Pc@A?Fc@@?Ac@@?Dc@t}@?dEiAA?OiAh@?jA@D?I@C?A@_d@?CC@?ZC@?AC@?@CA?@C@?IC@?CC@?@C@?@CE?@CC?@C@?@C@?@C@?BC@?AC@?@CA?@
        C@?@C@?@C@?@C@?@C@?AC@?@CA?CC@?FC@?CC@?CC@?@C@?IC@?PCD?BC@?DC@?PCs@?ACmG?k@WC?cBWK?NWA?NW@?NW@?d@WI?LWB?^W@?{@WC?|
        @Wx@?YW@i@AWL?k@WC?HWF?AWmD?r]WL?LWB?FWH?sBWK?tAWj@?KWC?w@WG?IWE?g@WG?]WaB?NW@?GWG?@WA?KW@?KWC?NW`@?QWm@?@W~p@?vuh
        @i@h@?t`Ci@J?}Ei@A?asDi@}iI?}Oi@bn`U?@W]?_BW_C?oFo@oo~D?
        """#
}
